"""Events, dead letters and sealing keys, and an end to old rows of the inbox."""

from bus.database.bus_tables import create_dead_letters, create_outbox, create_sealing_keys, drop_rest, index_inbox

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    index_inbox()
    create_outbox()
    create_dead_letters()
    create_sealing_keys()


def downgrade() -> None:
    drop_rest()
