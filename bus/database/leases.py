"""Leases: which process does what only one of them may do at a time. A lease ends by itself, by the database's clock.

A lock would last as long as its connection, so a process that stands still, or a machine that lost its power, would
stop all others. The holder of a lease has to finish, or claim it again, before it ends.
"""

from sqlalchemy import Connection, text

_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}
_claim = {
    kind: text(
        f"INSERT INTO leases (name, holder, held_until) VALUES (:name, :holder, {now} + :seconds) "  # noqa: S608
        "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until "
        f"WHERE leases.holder = excluded.holder OR leases.held_until < {now}"
    )
    for kind, now in _NOW.items()
}
_release = text("UPDATE leases SET held_until = 0 WHERE name = :name AND holder = :holder")


def claim(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take the lease, or extend it by its holder, for `seconds` from now. False while another process holds it."""
    values = {"name": name, "holder": holder, "seconds": seconds}
    return connection.execute(_claim[connection.dialect.name], values).rowcount == 1


def release(connection: Connection, name: str, holder: str) -> None:
    """End the lease now, if this is still its holder."""
    connection.execute(_release, {"name": name, "holder": holder})
