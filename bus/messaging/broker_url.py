"""The URL of a RabbitMQ: read completely before anything connects.

RabbitMQ's URI specification and URI query parameters (https://www.rabbitmq.com/docs/uri-spec), read as people write
them: `//` at the end is the virtual host `/`, and a missing user, password, host or port has RabbitMQ's default. Every
error is one sentence that repeats nothing of the URL, because any part of it may be part of a password.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

# The scheme of the embedded broker, which is inside the process and has no address.
EMBEDDED = "memory://"

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORTS = {"amqp": 5672, "amqps": 5671}
_MAX_NAME_BYTES = 255  # AMQP 0-9-1, short strings
_FILES = ("cacertfile", "certfile", "keyfile")
OPTIONS = ("heartbeat", *_FILES, "server_name_indication")
MAX_HEARTBEAT_SECONDS = 65535  # AMQP 0-9-1, connection.tune


class BadBrokerUrl(ValueError):
    """A URL that cannot be meant. `fault` says what is wrong, as in "BUS_URL {fault}."."""

    def __init__(self, fault: str) -> None:
        super().__init__(f"The URL of the broker {fault}.")
        self.fault = fault


@dataclass(frozen=True)
class BrokerUrl:
    """A parsed URL. `heartbeat` is in seconds, None where the URL names none; `tls` has the files of `amqps`."""

    scheme: str
    host: str
    port: int
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    heartbeat: int | None = None
    tls: Mapping[str, str] = field(default_factory=dict)

    def unreachable(self, error: BaseException) -> str:
        """In one sentence, that it could not be connected to because of this error."""
        while getattr(error, "exception", None) or (error.args and isinstance(error.args[0], BaseException)):
            error = getattr(error, "exception", None) or error.args[0]  # pika wraps the error of the socket
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        return f"RabbitMQ at {self.host}:{self.port} cannot be reached: {reason}."

    def tls_context(self) -> ssl.SSLContext | None:
        """For `amqps`: verifies the broker's certificate. None for `amqp`. Raises BadBrokerUrl for unusable files."""
        if self.scheme != "amqps":
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls.get("cacertfile"))
            if certificate := self.tls.get("certfile"):
                context.load_cert_chain(certificate, self.tls.get("keyfile"), password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise BadBrokerUrl(f"has a cacertfile, certfile or keyfile that cannot be used: {reason}") from None
        return context


def parse_broker_url(url: str) -> BrokerUrl:
    """Read an `amqp://` or `amqps://` URL. Raises BadBrokerUrl."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _PORTS:
        raise BadBrokerUrl("must begin with amqp://, amqps:// or memory://")
    if " " in url or not url.isprintable():
        raise BadBrokerUrl("has a blank or a control character")
    if "#" in rest:
        raise BadBrokerUrl("has a '#': where it belongs to a name or a password, write %23")
    address, _, query = rest.partition("?")
    authority, _, path = address.partition("/")
    if "@" in path or ("@" in query and "@" not in authority):
        raise BadBrokerUrl("has a '/' or '?' before its '@': in a user name or password, write %2F or %3F")
    if _BAD_ESCAPE.search(address):
        raise BadBrokerUrl("has a '%' without two hexadecimal digits after it: for the character itself, write %25")
    login, _, place = authority.rpartition("@")
    user, _, password = login.partition(":")
    host, port = _place(place, _PORTS[scheme])
    options = _options(query)
    parsed = BrokerUrl(
        scheme,
        host,
        port,
        _decoded(user) or "guest",
        _decoded(password) or "guest",
        _vhost(path),
        _heartbeat(options.pop("heartbeat", None)),
        options,
    )
    if options and scheme == "amqp":
        raise BadBrokerUrl("has options of TLS, but begins with amqp://: write amqps://")
    return parsed


def _place(text: str, default_port: int) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(text)
    port = int(found[2] or default_port) if found else 0
    if not (found and 0 < port < 65536):
        hint = "an IPv6 address is written in brackets, and a ':' in a user name as %3A"
        raise BadBrokerUrl(f"must have HOST or HOST:PORT, with a port from 1 to 65535, after its '@'; {hint}")
    host = _decoded(found[1]).strip("[]") or "localhost"
    try:
        host.encode("idna")  # as the resolver will
    except UnicodeError:
        raise BadBrokerUrl("has a host that cannot be the name of a machine") from None
    return host, port


def _vhost(path: str) -> str:
    if path in ("", "/"):
        return "/"
    vhost = path.removesuffix("/")
    if "/" in vhost:
        raise BadBrokerUrl("has more than one '/' after the host: in the name of a virtual host, write %2F")
    name = _decoded(vhost)
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise BadBrokerUrl(f"has a virtual host of more than {_MAX_NAME_BYTES} bytes")
    return name


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=20)
    except ValueError:
        pairs = [("", "")]
    options = dict(pairs)
    if not options.keys() <= {*OPTIONS} or len(options) < len(pairs):
        known = ", ".join(OPTIONS)
        raise BadBrokerUrl(f"has unknown options after '?'; each of these may stand there once, as NAME=VALUE: {known}")
    return options


def _heartbeat(value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > MAX_HEARTBEAT_SECONDS:
        raise BadBrokerUrl(f"must have a heartbeat in whole seconds, up to {MAX_HEARTBEAT_SECONDS}")
    return int(value)


def _decoded(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadBrokerUrl("has escapes such as %E4 that are not UTF-8") from None
    if "\0" in decoded:
        raise BadBrokerUrl("has a %00, which no name or password can have")
    return decoded


def _no_password() -> str:
    """For an encrypted key: without this, OpenSSL would ask at the terminal."""
    return ""
