"""The tables that `bus` needs in every service's database, for use in migrations.

A new service's first migration calls all of `create_…`; a later change of these tables comes as another
function here, for a migration of the service to call.
"""

import sqlalchemy as sa
from alembic import op

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def create_inbox() -> None:
    """What has been done already, and how it was answered."""
    op.create_table(
        "inbox",
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def index_inbox() -> None:
    """What lets old rows of the inbox be found and deleted."""
    op.create_index("inbox_done_at", "inbox", ["done_at"], postgresql_using="brin")


def create_outbox() -> None:
    """The events of committed changes."""
    op.create_table(
        "outbox",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sqlite_autoincrement=True,
    )
    unsent = sa.text("sent_at IS NULL")
    op.create_index("outbox_unsent", "outbox", ["id"], postgresql_where=unsent, sqlite_where=unsent)
    op.create_index("outbox_made_at", "outbox", ["made_at"], postgresql_using="brin")


def trace_events() -> None:
    """What each event came of: the trace of the request, where it is known."""
    op.add_column("outbox", sa.Column("traceparent", sa.Text))
    op.add_column("outbox", sa.Column("tracestate", sa.Text))


def create_dead_letters() -> None:
    """Messages set aside for a person, and what was done with them."""
    op.create_table(
        "dead_letter_actions",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("chosen_by", sa.Text, nullable=False),
        sa.Column("letters", sa.Integer, nullable=False),
        sa.Column("held_by", sa.Text),
        sa.Column("held_until", sa.DateTime(timezone=True)),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("letter_id", sa.Text, nullable=False, unique=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text),
        sa.Column("properties", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("origin_queue", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("error_class", sa.Text, nullable=False),
        sa.Column("traceback", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("action_id", sa.BigInteger),
        sa.Column("handled_at", sa.DateTime(timezone=True)),
        sa.Column("replayed_as", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("dead_letters_message_id", "dead_letters", ["message_id"])
    op.create_index("dead_letters_state", "dead_letters", ["state", "operation"])


def create_sealing_keys() -> None:
    """The key pairs that secrets in requests are sealed to."""
    op.create_table(
        "sealing_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("private_jwk", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True)),
    )


def drop_inbox() -> None:
    """Undo `create_inbox`."""
    op.drop_table("inbox")


def untrace_events() -> None:
    """Undo `trace_events`."""
    op.drop_column("outbox", "tracestate")
    op.drop_column("outbox", "traceparent")


def drop_rest() -> None:
    """Undo `index_inbox`, `create_outbox`, `create_dead_letters` and `create_sealing_keys`."""
    for table in ("sealing_keys", "dead_letters", "dead_letter_actions", "outbox"):
        op.drop_table(table)
    op.drop_index("inbox_done_at", "inbox")
