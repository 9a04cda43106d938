"""Access tokens: publish the keys to verify them with."""

from auth.contract import GetJwks
from auth.handlers.service import auth, settings
from auth.storage.signing_keys import published_keys
from bus import JsonWebKeySet, Work


@auth.handles(GetJwks)
def get_jwks(_query: GetJwks, work: Work) -> JsonWebKeySet:
    with work.reading() as connection:  # it makes the first key
        return JsonWebKeySet(keys=published_keys(connection, settings()))
