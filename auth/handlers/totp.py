"""Second factor: enrol, confirm and remove that of the caller. `auth.storage.second_factor` checks it at log-ins."""

from typing import Any

from sqlalchemy import Row

from auth.contract import (
    ConfirmTotp,
    EnrolTotp,
    RecoveryCodes,
    RemoveTotp,
    SessionOver,
    TotpEnabled,
    TotpNotEnrolled,
    TotpRemoved,
    TotpSecret,
    WrongCode,
)
from auth.domain.totp import new_secret, uri_of
from auth.handlers.service import auth, settings
from auth.storage import accounts, activity, second_factor, sessions
from bus import Work
from bus.database import now


@auth.handles(EnrolTotp)
def enrol_totp(_command: EnrolTotp, work: Work) -> TotpSecret:
    owner = _locked_owner(work, is_recent=True)
    found = second_factor.find(work.connection, owner.id)
    if found is not None and found.confirmed_at is not None:
        raise TotpEnabled
    secret = new_secret()
    second_factor.keep(work.connection, owner.id, secret)
    activity.note(work, owner.id, "totp_enrolled", by_id=owner.id)
    return TotpSecret(secret=secret, uri=uri_of(secret, owner.username))


@auth.handles(ConfirmTotp)
def confirm_totp(command: ConfirmTotp, work: Work) -> RecoveryCodes:
    """The code that confirms is used: a log-in needs the next one."""
    owner = _locked_owner(work)
    found = second_factor.find(work.connection, owner.id)
    if found is None:
        raise TotpNotEnrolled
    if found.confirmed_at is not None:
        raise TotpEnabled
    second_factor.check_wait(work.connection, owner.id)
    if not second_factor.take_totp(work.connection, found, command.code):
        second_factor.count_failure(work.connection, owner.id)
        activity.note(work, owner.id, "totp_refused", by_id=owner.id)
        raise WrongCode
    second_factor.forget_failures(work.connection, owner.id)
    activity.note(work, owner.id, "totp_confirmed", by_id=owner.id)
    return RecoveryCodes(recovery_codes=second_factor.confirm(work, owner))


@auth.handles(RemoveTotp)
def remove_totp(_command: RemoveTotp, work: Work) -> TotpRemoved:
    owner = _locked_owner(work, is_recent=True)
    if (found := second_factor.find(work.connection, owner.id)) is None:
        raise TotpNotEnrolled
    second_factor.remove(work, owner, found)
    activity.note(work, owner.id, "totp_removed", by_id=owner.id)
    return TotpRemoved()


def _locked_owner(work: Work, *, is_recent: bool = False) -> Row[Any]:
    """The account of the caller, which no other transaction changes meanwhile.

    Raises SessionOver and, where the log-in has to be recent, LogInAgain.
    """
    found = sessions.owner_of(work.caller, work.connection)
    if is_recent:
        sessions.check_recent(found, settings(), now(work.connection))
    owner = accounts.lock(work.connection, found.id)
    if owner is None or owner.disabled_at is not None:
        raise SessionOver
    return owner
