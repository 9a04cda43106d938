"""The traces that events belong to."""

from bus.database.bus_tables import trace_events, untrace_events

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    trace_events()


def downgrade() -> None:
    untrace_events()
