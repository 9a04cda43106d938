"""Introspection: whether an access token is good now."""

import time

from auth.contract import Introspect, Introspection, SessionOver
from auth.handlers.service import auth, settings
from auth.storage import service_accounts, sessions
from auth.storage.signing_keys import published_keys
from bus import Work
from bus.security import NotAuthorized, verify


@auth.handles(Introspect)
def introspect(command: Introspect, work: Work) -> Introspection:
    """A token of which the caller may not know is answered like one that is not good (RFC 7662, section 2.2)."""
    with work.reading() as connection:
        if service_accounts.find_caller(connection, work.caller) is None:
            sessions.owner_of(work.caller, connection)
        keys = {key.kid: key for key in published_keys(connection, settings())}
        try:
            caller, expires_at = verify(command.token, keys.get, time.time())
            if (service := service_accounts.find_caller(connection, caller)) is not None:
                name = service.name
            else:
                name = sessions.owner_of(caller, connection).username
        except (NotAuthorized, SessionOver):
            return Introspection(active=False)
    if caller.id != work.caller.id and "admin" not in work.caller.scopes:
        return Introspection(active=False)
    return Introspection(
        active=True,
        scope=" ".join(sorted(caller.scopes)),
        username=name,
        token_type="Bearer",  # noqa: S106  # no password
        exp=expires_at,
        sub=caller.id,
        sid=caller.session,
        aud=sessions.AUDIENCE,
        iss=sessions.ISSUER,
    )
