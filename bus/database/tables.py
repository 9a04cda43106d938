"""The tables that `bus` keeps in every service's database, beside the service's own.

The history in `migrations/` makes them; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    func,
)

from bus.columns import Encrypted, Id, UtcDateTime

metadata = MetaData()

# Of an index that PostgreSQL builds after the migration (`concurrent_indexes.py`). `replaces` names an index that is
# dropped once this one is there.
BUILT_CONCURRENTLY = {"concurrently": True}

# Messages that were handled, and the reply to each.
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
    Column("done_at", UtcDateTime, nullable=False, server_default=func.now()),
)
# Rows come in the order of their time: a block range index costs next to nothing to keep. Without summaries, all rows
# since the last vacuum are read.
_SUMMARIES = {"autosummarize": "on"}
Index("inbox_done_at", inbox.c.done_at, postgresql_using="brin", postgresql_with=_SUMMARIES)
# For operators: one message id of all callers.
Index("inbox_message_id", inbox.c.message_id, info=BUILT_CONCURRENTLY)

# The events of committed changes: to be sent while `sent_at` is empty, then kept for replays. `refused_at` is when the
# full queue of a listener first refused one.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("made_at", UtcDateTime, nullable=False, server_default=func.now()),
    Column("sent_at", UtcDateTime),
    Column("traceparent", Text),
    Column("tracestate", Text),
    Column("refused_at", UtcDateTime),
    sqlite_autoincrement=True,
)
is_new = and_(outbox.c.sent_at.is_(None), outbox.c.refused_at.is_(None))
is_refused = and_(outbox.c.sent_at.is_(None), outbox.c.refused_at.is_not(None))
Index("outbox_new", outbox.c.id, postgresql_where=is_new, sqlite_where=is_new)
Index("outbox_refused", outbox.c.id, postgresql_where=is_refused, sqlite_where=is_refused)
Index("outbox_made_at", outbox.c.made_at, postgresql_using="brin", postgresql_with=_SUMMARIES)

# What an operator did, mostly with dead letters, and the reason given; `letters` is how many messages the action took.
# `held_by` sends a batch of them now; its lease ends at `held_until`.
dead_letter_action = Table(
    "dead_letter_actions",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("chosen_by", Text, nullable=False),
    Column("letters", Integer, nullable=False),
    Column("held_by", Text),
    Column("held_until", UtcDateTime),
    Column("made_at", UtcDateTime, nullable=False, server_default=func.now()),
    Column("reason", Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

# Actions that send events again, to one queue: which events, and how far it is. `after_kept` is the last row of the
# outbox that was sent, `after_past` the last position of the service's own tables (`past_events.py`), `reached` when
# the last event that was sent was made. `is_more`: there may be more than were counted when it began.
event_replay = Table(
    "event_replays",
    metadata,
    Column("action_id", Id, primary_key=True, autoincrement=False),
    Column("queue", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("name", Text, nullable=False),
    Column("after_kept", BigInteger, nullable=False),
    Column("after_past", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("reached", UtcDateTime),
    Column("is_more", Boolean, nullable=False),
    Column("is_over", Boolean, nullable=False),
)

# Messages set aside for a person. `state` is dead, chosen (taken by an action, not sent again yet), replayed or
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
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("action_id", BigInteger),
    Column("handled_at", UtcDateTime),
    Column("replayed_as", Text),
    Column("trace_id", Text),
    sqlite_autoincrement=True,
)
Index("dead_letters_message_id", dead_letter.c.message_id)
Index("dead_letters_trace_id", dead_letter.c.trace_id, info=BUILT_CONCURRENTLY)
# To list and count them without reading their bodies: a page of letters, and all that a filter asks for.
Index("dead_letters_listed", dead_letter.c.state, dead_letter.c.id)
Index(
    "dead_letters_groups",
    *(dead_letter.c[name] for name in ("state", "operation", "reason", "error_class", "last_at", "first_at")),
    *(dead_letter.c[name] for name in ("whole", "origin_queue", "id")),
)
# A replay takes the letters of its action in their order, a batch at a time, and looks which of them died again.
Index(
    "dead_letters_of_action",
    *(dead_letter.c[name] for name in ("action_id", "state", "id", "replayed_as")),
    info={**BUILT_CONCURRENTLY, "replaces": "dead_letters_action"},
)

# Tries at which a handler failed, the last ones. `caller` is as in the inbox. `number` counts the tries of a delivery;
# the next one comes after `retry_seconds`, which is null where there is none.
failed_attempt = Table(
    "failed_attempts",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("message_id", Text),
    Column("caller", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("failed_at", UtcDateTime, nullable=False),
    Column("worker", Text, nullable=False),
    Column("error_class", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("retry_seconds", Integer),
    sqlite_autoincrement=True,
)
Index("failed_attempts_message_id", failed_attempt.c.message_id)
Index("failed_attempts_trace_id", failed_attempt.c.trace_id)
Index("failed_attempts_failed_at", failed_attempt.c.failed_at, postgresql_using="brin")

# What only one process may do at a time, and which one does it until when, in seconds since 1970.
lease = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("held_until", Double, nullable=False),
)

# The key pairs that secrets in requests are sealed to, numbered as they were made.
sealing_key = Table(
    "sealing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("private_jwk", Encrypted, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
)

# The long-lived keys of the service, by what they are for. One is for nothing but to find out whether the database is
# opened with the right key (`encryption.py`).
service_key = Table(
    "service_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret", Encrypted, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
)

# The workers of the service: each writes every second what it knows of itself, as JSON, and at what time, in seconds
# since 1970.
worker = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
    Column("seen_at", Double, nullable=False),
)

# Which older revisions of an Alembic history the database still serves: releases that end with one of them can work
# with it. `bus migrate` writes them.
compatible_revision = Table(
    "compatible_revisions",
    metadata,
    Column("history", Text, primary_key=True),
    Column("revision", Text, primary_key=True),
)
