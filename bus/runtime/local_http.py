"""HTTP to our own processes on this machine: their URLs, and questions to them.

The connection is always direct. `urllib.request` would send even a question to 127.0.0.1 to the proxy of `http_proxy`.
"""

import http.client
import socket
from contextlib import suppress

# From where an address that means "all addresses" can be reached on this machine.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not listened on
_MAX_BYTES = 4096
_CONNECT_SECONDS = 5.0


def base_url(host: str, port: int) -> str:
    """The URL of a server that listens on this IP address, as a person on this machine may open it."""
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def ask(host: str, port: int, path: str, seconds: float) -> tuple[int, bytes]:
    """The status and the body of the answer to a GET; (0, b"") when there is none, or none of HTTP."""
    connection = http.client.HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def listens(host: str, port: int) -> bool:
    """Whether somebody accepts connections on this address."""
    with suppress(OSError), socket.create_connection((_EVERYWHERE.get(host, host), port), _CONNECT_SECONDS):
        return True
    return False
