"""The traces that events belong to."""

from bus.database.bus_tables import trace_events, untrace_events

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    trace_events()


def downgrade() -> None:
    untrace_events()
