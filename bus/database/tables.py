"""The tables that `bus` keeps in every service's database, beside the service's own.

`bus.bus_tables` makes them in migrations; a test compares the two.
"""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, LargeBinary, MetaData, Table, Text, func

metadata = MetaData()

# SQLite numbers rows by itself only in a column of exactly this type.
Id = BigInteger().with_variant(Integer, "sqlite")

# What has been done already, and how it was answered.
inbox = Table(
    "inbox",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("location", Text, nullable=False),
    Column("reply", LargeBinary, nullable=False),
    Column("done_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
# Rows come in the order of their time: a block range index costs next to nothing to keep.
Index("inbox_done_at", inbox.c.done_at, postgresql_using="brin")

# The events of committed changes: to be sent while `sent_at` is empty, then kept for replays.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("sent_at", DateTime(timezone=True)),
    Column("traceparent", Text),
    Column("tracestate", Text),
    sqlite_autoincrement=True,
)
_unsent = outbox.c.sent_at.is_(None)
Index("outbox_unsent", outbox.c.id, postgresql_where=_unsent, sqlite_where=_unsent)
Index("outbox_made_at", outbox.c.made_at, postgresql_using="brin")

# What a person did with dead letters, and how many it took in hand. `held_by` is the process that
# is sending them again, until `held_until`.
dead_letter_action = Table(
    "dead_letter_actions",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("chosen_by", Text, nullable=False),
    Column("letters", Integer, nullable=False),
    Column("held_by", Text),
    Column("held_until", DateTime(timezone=True)),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    sqlite_autoincrement=True,
)

# Messages set aside for a person. `state` is dead, chosen (an action has them in hand), replayed or
# discarded. A body that is not `whole` lacks secrets or its end; `replayed_as` is the message id it
# was sent again with.
dead_letter = Table(
    "dead_letters",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("letter_id", Text, nullable=False, unique=True),
    Column("operation", Text, nullable=False),
    Column("message_id", Text),
    Column("properties", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("origin_queue", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("error_class", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("action_id", BigInteger),
    Column("handled_at", DateTime(timezone=True)),
    Column("replayed_as", Text),
    sqlite_autoincrement=True,
)
Index("dead_letters_message_id", dead_letter.c.message_id)
Index("dead_letters_state", dead_letter.c.state, dead_letter.c.operation)

# The key pairs that secrets in requests are sealed to, numbered as they were made.
sealing_key = Table(
    "sealing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("private_jwk", Text, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("retired_at", DateTime(timezone=True)),
)
