"""The tables of auth."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, func

from bus.columns import Encrypted, Id, UtcDateTime

metadata = MetaData()

# The unique keys are compared, not the names: user names and addresses that differ only in case are the same. `roles`
# are separated by spaces, in alphabetical order; `version` counts the changes. `new_email` is an address that takes the
# place of `email` once its owner has shown that it is theirs.
user = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("username", Text, nullable=False),
    Column("username_key", Text, nullable=False, unique=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=func.now()),
    Column("email_verified", Boolean, nullable=False, server_default="0"),
    Column("display_name", Text, nullable=False, server_default=""),
    Column("roles", Text, nullable=False, server_default=""),
    Column("disabled_at", UtcDateTime),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("new_email", Text),
    Column("new_email_key", Text),
    sqlite_autoincrement=True,
)
Index("users_new_email_key", user.c.new_email_key)

# A log-in that has not ended: a family of refresh tokens.
session = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("device", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
)
Index("sessions_user_id", session.c.user_id)

# Refresh tokens by their SHA-256. A used one is kept, so that it is noticed when it comes again.
refresh_token = Table(
    "refresh_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("used_at", UtcDateTime),
)
Index("refresh_tokens_session_id", refresh_token.c.session_id)

# How often something failed or was done, by what is limited; `waits_until` is when the next try may come.
throttle = Table(
    "throttles",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("waits_until", UtcDateTime, nullable=False),
)

# What was done with accounts: rows are added, and never changed. `user_id` is whose account; it is 0 for a log-in to
# none (deleted after a while), and for the account of a service, whose name is `service` then. `by_id` is which person
# did it, if that is known. All may be accounts that were deleted since. `address` is that of the HTTP client, if there
# was one.
activity = Table(
    "activity",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("user_id", Id, nullable=False),
    Column("by_id", Id),
    Column("what", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
    Column("at", UtcDateTime, nullable=False),
    Column("service", Text),
    sqlite_autoincrement=True,
)
Index("activity_user_id", activity.c.user_id, activity.c.id)

# What access tokens are signed with, numbered as they were made.
signing_key = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("private_jwk", Encrypted, nullable=False),
    Column("x", Text, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
)

# Services that call others in their own name. `roles` are as those of users; of the secret, its SHA-256.
service_account = Table(
    "service_accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("roles", Text, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
)

# Second factors. A secret counts once it is confirmed, and is null after it was removed; `last_step` is the time step
# of the last code that was used. `version` counts what `auth.totp_changed` reports.
totp = Table(
    "totps",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("secret", Encrypted),
    Column("confirmed_at", UtcDateTime),
    Column("last_step", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
)

# Recovery codes that were not used, by their SHA-256.
recovery_code = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
)

# Accounts that are made once the owner of the address has shown that it is theirs, where AUTH_VERIFY_EMAIL=1. There is
# a row for an address that has an account too: a name must not be free for one address and taken for another.
registration = Table(
    "registrations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("username", Text, nullable=False),
    Column("username_key", Text, nullable=False, unique=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
)
Index("registrations_email_key", registration.c.email_key)

# Mails to send, and those that were sent, whose tokens are good until they are used or `ends_at`. `kind` is verify,
# reset, or a notice (`mails.NOTICES`); `user_id` or `registration_id` is what it is about, null until that was looked
# up. `state` is waiting, sending, sent, failed (given up), or dropped (there was no account to write to). `next_at` is
# the time of the next try, or the time after which another worker sends it too.
mail = Table(
    "mails",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("address_key", Text, nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE")),
    Column("registration_id", Text),
    Column("state", Text, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("used_at", UtcDateTime),
)
Index("mails_state", mail.c.state, mail.c.next_at)
Index("mails_user_id", mail.c.user_id)
Index("mails_ends_at", mail.c.ends_at)
