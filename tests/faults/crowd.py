"""A crowd: many clients in one process, each with its own connections; tells when each is back.

    python -m faults.crowd URL CLIENTS

Writes `connected`. After a line of input it writes a JSON list: the times (time.time()) at which the clients
had a broker again after they had lost it.
"""

import json
import sys
import time

from bus.client.client import Client
from bus.telemetry.logs import configure_logs
from bus.testing.waiting import wait_until

CONNECT_SECONDS = 60.0
LOST_SECONDS = 30.0
BACK_SECONDS = 60.0
POLL_SECONDS = 0.01


def main(url: str, count: int) -> None:
    """Connect, lose the broker, and come back."""
    configure_logs("error")
    clients = [Client(url, name=f"crowd-{number}") for number in range(count)]
    wait_until(lambda: all(map(_is_connected, clients)), CONNECT_SECONDS, "all are connected")
    _tell("connected")
    wait_until(lambda: not any(map(_is_connected, clients)), LOST_SECONDS, "all have lost the broker")
    back = _times_of_return(clients)
    sys.stdin.readline()
    _tell(json.dumps(back))


def _times_of_return(clients: list[Client]) -> list[float]:
    away, back = list(clients), []
    deadline = time.monotonic() + BACK_SECONDS
    while away and time.monotonic() < deadline:
        returned = [client for client in away if _is_connected(client)]
        back += [time.time()] * len(returned)
        away = [client for client in away if client not in returned]
        time.sleep(POLL_SECONDS)
    return back


def _is_connected(client: Client) -> bool:
    return client._transport.reply_address is not None


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
