"""Keys and seals: how the secrets of a request cross the broker unreadable.

Clients seal (`sealer.py`) and workers open seals (`unsealer.py`). `seal.py` has the format (JWE) and `keys.py` the key
pairs, which `key_store.py` keeps in the service's database. The package imports `bus.database` and the packages below
it; `bus.client`, `bus.service`, workers and the command line import this one.

`signing_keys.py` signs access tokens, and `guard.py` finds the caller that one stands for.
`service_keys.py` has further keys of a service.

Start at `seal.py`.
"""

from typing import TYPE_CHECKING

from bus import lazy_exports

if TYPE_CHECKING:
    from bus.contract.identity import NotAuthorized
    from bus.security.access_tokens import verify
    from bus.security.service_keys import service_key
    from bus.security.signing_keys import SigningKey

__all__ = ["NotAuthorized", "SigningKey", "service_key", "verify"]

# A client seals, and needs no database.
__getattr__ = lazy_exports(
    __name__,
    {
        "bus.contract.identity": ("NotAuthorized",),
        "bus.security.access_tokens": ("verify",),
        "bus.security.service_keys": ("service_key",),
        "bus.security.signing_keys": ("SigningKey",),
    },
)
