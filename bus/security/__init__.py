"""Keys and seals: how the secrets of a request cross the broker unreadable.

Clients seal (`sealer.py`), workers open (`unsealer.py`), `seal.py` is the format (JWE) and `keys.py` the key pairs.
`key_store.py` keeps them in the service's database. It imports `bus.database` and what is below.

Start at `seal.py`.
"""
