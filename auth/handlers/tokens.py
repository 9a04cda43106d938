"""Access tokens: publish the keys to verify them with, and give services their own."""

from auth.contract import GetJwks, InvalidClient, IssueServiceToken
from auth.handlers.service import auth, settings
from auth.storage import service_accounts, sessions
from auth.storage.signing_keys import current_key, published_keys
from bus import JsonWebKeySet, ServiceToken, Work
from bus.database import now


@auth.handles(GetJwks)
def get_jwks(_query: GetJwks, work: Work) -> JsonWebKeySet:
    with work.reading() as connection:  # it makes the first key
        return JsonWebKeySet(keys=published_keys(connection, settings()))


@auth.handles(IssueServiceToken)
def issue_service_token(command: IssueServiceToken, work: Work) -> ServiceToken:
    """A service has no session: its account stands in place of one."""
    with work.reading() as connection:
        found = service_accounts.find(connection, command.client_id, command.client_secret)
        if found is None:
            raise InvalidClient
        key, account = current_key(connection), service_accounts.caller_id(found)
        token = sessions.access_token(key, account, account, found.roles, settings(), now(connection))
    return ServiceToken(access_token=token, expires_in=settings().access_token_minutes * 60)
