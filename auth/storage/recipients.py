"""Recipients: which account or registration a mail is for, looked up when the mail is sent.

So what a caller is answered, and how long that takes, says nothing of it.
"""

from typing import Any

from sqlalchemy import Connection, Row

from auth.storage import accounts, mails, registrations

# Of accounts and registrations that wait for one address.
MOST_FOR_ONE_ADDRESS = 3


def resolve(connection: Connection, found: Row[Any]) -> tuple[Row[Any], str] | None:
    """The mail as it is to be sent, and the user name in it. None for one that nobody gets."""
    if found.kind in mails.NOTICES:
        return _about(connection, found, accounts.find(connection, found.user_id))
    owner = accounts.find_by_email_key(connection, found.address_key)
    if found.kind == "reset":
        return _about(connection, found, owner)
    if found.registration_id is None and found.user_id is None:
        return _resent(connection, found, owner)
    if owner is not None and owner.id != found.user_id:
        return _about(connection, found, owner, kind="taken")
    if found.user_id is not None:
        return _about(connection, found, accounts.find(connection, found.user_id))
    waiting = registrations.find(connection, found.registration_id)
    return None if waiting is None else (found, waiting.username)


def _resent(connection: Connection, found: Row[Any], owner: Row[Any] | None) -> tuple[Row[Any], str] | None:
    """One mail for each account or registration that waits for the address; this is the first of them."""
    if owner is not None:
        return None if owner.email_verified else _about(connection, found, owner)
    life = found.ends_at - found.made_at
    waiting = registrations.of_address(connection, found.address_key, MOST_FOR_ONE_ADDRESS)
    for each in waiting:
        registrations.prolong(connection, each.id, found.ends_at)
    changing = accounts.with_new_email_key(connection, found.address_key, MOST_FOR_ONE_ADDRESS)
    targets = [*({"registration_id": each.id} for each in waiting), *({"user_id": each.id} for each in changing)]
    for target in targets[1:]:
        mails.ask(connection, "verify", found.address, life, **target)
    changed = mails.change(connection, found.id, **targets[0]) if targets else None
    return None if changed is None else (changed, (waiting or changing)[0].username)


def _about(connection: Connection, found: Row[Any], owner: Row[Any] | None, **more: str) -> tuple[Row[Any], str] | None:
    if owner is None or owner.disabled_at is not None:
        return None
    changed = mails.change(connection, found.id, user_id=owner.id, **more)
    return None if changed is None else (changed, owner.username)
