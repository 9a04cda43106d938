"""Inbox, outbox, dead letters and sealing keys.

This revision alone adopts tables that exist. Before the library had a history of its own, each service's history made
them: a database may have all of them, the inbox only (without its index), or an outbox without traces. Their rows stay.
Later revisions check nothing: after this one, every database has the same tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
        sa.Column("done_at", _Time, nullable=False, server_default=sa.func.now()),
        if_not_exists=True,
    )
    op.create_index("inbox_done_at", "inbox", ["done_at"], postgresql_using="brin", if_not_exists=True)
    _create_outbox()
    _create_dead_letters()
    op.create_table(
        "sealing_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("private_jwk", sa.Text, nullable=False),
        sa.Column("made_at", _Time, nullable=False),
        sa.Column("retired_at", _Time),
        if_not_exists=True,
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("made_at", _Time, nullable=False, server_default=sa.func.now()),
        sa.Column("sent_at", _Time),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("outbox")}
    for name in ("traceparent", "tracestate"):
        if name not in present:
            op.add_column("outbox", sa.Column(name, sa.Text))
    unsent = sa.text("sent_at IS NULL")
    op.create_index("outbox_unsent", "outbox", ["id"], postgresql_where=unsent, sqlite_where=unsent, if_not_exists=True)
    op.create_index("outbox_made_at", "outbox", ["made_at"], postgresql_using="brin", if_not_exists=True)


def _create_dead_letters() -> None:
    op.create_table(
        "dead_letter_actions",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("chosen_by", sa.Text, nullable=False),
        sa.Column("letters", sa.Integer, nullable=False),
        sa.Column("held_by", sa.Text),
        sa.Column("held_until", _Time),
        sa.Column("made_at", _Time, nullable=False, server_default=sa.func.now()),
        sqlite_autoincrement=True,
        if_not_exists=True,
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
        sa.Column("first_at", _Time, nullable=False),
        sa.Column("last_at", _Time, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("action_id", sa.BigInteger),
        sa.Column("handled_at", _Time),
        sa.Column("replayed_as", sa.Text),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("dead_letters_message_id", "dead_letters", ["message_id"], if_not_exists=True)
    op.create_index("dead_letters_state", "dead_letters", ["state", "operation"], if_not_exists=True)
