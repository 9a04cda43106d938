"""Reads and checks single settings; collects all errors. `settings.py` says which settings there are.

An error names the variable and what is wrong with it. It never repeats a URL or the content of a file: they may have a
password in them.
"""

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bus.contract.fields import RuleViolation, rules_of, secrets_of
from bus.contract.settings import Settings
from bus.contract.words import in_words
from bus.database.encryption import fernet_of
from bus.messaging.broker_url import EMBEDDED, BadBrokerUrl, parse_broker_url

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_WHOLE = re.compile(r"[1-9][0-9]{0,5}")
# The largest value of any number, such as a queue of many gigabytes.
MAX_NUMBER = 10_000_000
MAX_RETRIES = 10
# No setting is longer: a longer file is not one, and might have no end.
MAX_CHARACTERS = 8192
_SHOWN_CHARACTERS = 60
# What Linux allows, less what SQLite and the lock for migrations add to the name of a database.
MAX_NAME_BYTES, MAX_PATH_BYTES = 230, 4000


S = TypeVar("S", bound=Settings)


class SettingsReader:
    """One environment. `errors` grows with each setting that is read; `names` are the variables that were asked for."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.errors: list[str] = []
        self.names: set[str] = set()

    def text(self, name: str, default: str) -> str:
        """The value of the variable, or the content of the file in NAME_FILE, without blanks around it.

        The default for an empty variable, and beside an error.
        """
        self.names |= {name, f"{name}_FILE"}
        value, file = self._environment.get(name) or "", self._environment.get(f"{name}_FILE")
        if file and value:
            self.errors.append(f"{name} and {name}_FILE are both set: set one.")
            return default
        if file:
            source = f"The file in {name}_FILE"
            try:
                value = _content(file)
            except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a path that no file can have
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                self.errors.append(f"{name}_FILE must name a readable text file: {reason}.")
                return default
        else:
            source = name
            value = value.strip() or value  # a value of blanks alone is a mistake, not unset
        if file and not value:
            self.errors.append(f"{source} is empty.")
        elif len(value) > MAX_CHARACTERS:
            self.errors.append(f"{source} has more than {MAX_CHARACTERS} characters.")
        elif not value.isprintable():
            self.errors.append(f"{source} has a control character or a line break, or is not UTF-8 text.")
        else:
            return value or default
        return default

    def one_of(self, name: str, default: str, allowed: Iterable[str]) -> str:
        """One of these words."""
        value = self.text(name, default)
        if value not in allowed:
            self.errors.append(f"{name} must be one of {', '.join(allowed)}, not {_shown(value)}.")
        return value

    def address(self, name: str, default: str) -> str:
        """An IP address to listen on, also in the brackets that IPv6 has in URLs."""
        value = self.text(name, default)
        try:
            return str(ipaddress.ip_address(value[1:-1] if value.startswith("[") and value.endswith("]") else value))
        except ValueError:
            self.errors.append(f"{name} must be an IP address such as 127.0.0.1 or ::1, not {_shown(value)}.")
            return default

    def thumbprint(self, name: str) -> str:
        """The thumbprint of a key (RFC 7638): SHA-256 in base64url; empty if it is not set."""
        value = self.text(name, "")
        if value and not re.fullmatch("[A-Za-z0-9_-]{43}", value):
            self.errors.append(
                f"{name} must be 43 characters as `bus sealing-keys identity` prints them, not {_shown(value)}."
            )
            return ""
        return value

    def database_keys(self, name: str) -> str:
        """Keys that encrypt a database, separated by commas; empty if it is not set. They are secrets: never shown."""
        value = self.text(name, "")
        try:
            fernet_of(value) if value else None
        except ValueError:
            self.errors.append(
                f"{name} must be keys as `bus database-keys new` prints them, separated by commas, the newest first."
            )
            return ""
        return value

    def secret(self, name: str, least: int) -> str:
        """A secret of at least so many characters; empty if it is not set."""
        value = self.text(name, "")
        if value and len(value) < least:
            self.errors.append(f"{name} must have at least {least} characters, as `openssl rand -hex 32` prints them.")
            return ""
        return value

    def count(self, name: str, most: int) -> int:
        """A whole number from 0 to `most`; 0 if it is not set."""
        value = self.text(name, "0")
        if not re.fullmatch("[0-9]{1,6}", value) or int(value) > most:
            self.errors.append(f"{name} must be a whole number from 0 to {most}, not {_shown(value)}.")
            return 0
        return int(value)

    def number(self, name: str, default: float) -> float:
        """A number above 0."""
        value = self.text(name, str(default))
        if not (_NUMBER.fullmatch(value) and 0 < float(value) <= MAX_NUMBER):
            self.errors.append(f"{name} must be a number above 0, up to {MAX_NUMBER}, not {_shown(value)}.")
            return default
        return float(value)

    def delays(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Different whole numbers of seconds."""
        value = self.text(name, ",".join(map(str, default)))
        parts = value.split(",")
        is_valid = len({*parts}) == len(parts) <= MAX_RETRIES
        if not (is_valid and all(_WHOLE.fullmatch(part) for part in parts)):
            allowed = f"up to {MAX_RETRIES} different whole numbers such as 5,30,120"
            self.errors.append(f"{name} must be {allowed}, not {_shown(value)}.")
            return default
        return tuple(map(int, parts))

    @overload
    def port(self, name: str, default: int) -> int: ...

    @overload
    def port(self, name: str, default: None) -> int | None: ...

    def port(self, name: str, default: int | None) -> int | None:
        """A port to listen on."""
        value = self.text(name, "" if default is None else str(default))
        if default is None and not value:
            return None
        if not (re.fullmatch("[0-9]{1,5}", value) and 0 < int(value) < 65536):
            # Kubernetes sets NAME_PORT=tcp://ADDRESS for each Service of a namespace.
            hint = " Kubernetes has set it: write enableServiceLinks: false." if value.startswith("tcp://") else ""
            self.errors.append(f"{name} must be a port from 1 to 65535, not {_shown(value)}.{hint}")
            return default
        return int(value)

    def bus_url(self, name: str) -> str:
        """The URL of the broker; the embedded one by default."""
        value = self.text(name, EMBEDDED)
        scheme, separator, rest = value.partition("://")
        value = f"{scheme.lower()}{separator}{rest}"
        if not value.startswith(EMBEDDED):
            try:
                parse_broker_url(value).tls_context()
            except BadBrokerUrl as error:
                self.errors.append(f"{name} {error.fault}.")
        return value

    def declared(self, prefix: str, defaults: S) -> S:
        """The settings that a service declares, each in the variable PREFIX_FIELD."""
        rules = {field.name: field.rules for field in rules_of(type(defaults))}
        given: dict[str, Any] = {}
        for field in msgspec.structs.fields(defaults):
            name = f"{prefix}_{field.name.upper()}"
            if not (text := self.text(name, "")):
                continue
            is_switch = field.type is bool
            try:
                if is_switch and text not in ("0", "1"):
                    raise msgspec.ValidationError
                value = msgspec.convert(text, field.type, strict=False)
                for rule in rules.get(field.name, ()):
                    rule.check(value)
            except msgspec.ValidationError:
                expected = "one of 0, 1" if is_switch else in_words(msgspec.inspect.type_info(field.type))
                shown = "" if field.name in secrets_of(type(defaults)) else f", not {_shown(text)}"
                self.errors.append(f"{name}: expected {expected}{shown}.")
            except RuleViolation as broken:
                self.errors.append(f"{name}: {broken.detail}")
            else:
                given[field.name] = value
        return msgspec.structs.replace(defaults, **given)

    def folder(self, name: str, default: str) -> Path:
        """A folder, which need not exist; `~` is this user's home."""
        folder = _at_home(self.text(name, default))
        if fault := _fault_of_path(folder / "any.db"):
            self.errors.append(f"{name} {fault}.")
            return Path(default)
        return folder

    def database_url(self, name: str, default_file: Path) -> str:
        """The URL of a PostgreSQL or of an SQLite file."""
        if not (value := self.text(name, "")):
            return _sqlite_url(default_file)
        scheme, separator, rest = value.partition("://")
        value = f"{scheme.lower().replace('postgres+', 'postgresql+')}{separator}{rest}"
        if value.startswith("postgres://"):
            value = value.replace("postgres", "postgresql", 1)
        try:
            url = make_url(value)
            fault = _fault_of_database(url, "?" in value)
        except (ArgumentError, ValueError):  # ValueError: the port is not a number
            fault = "must begin with postgresql:// or sqlite:///, and its port must be a number"
        if fault:
            self.errors.append(f"{name} {fault}.")
            return _sqlite_url(default_file)
        return _sqlite_url(_at_home(str(url.database))) if url.get_backend_name() == "sqlite" else value


def _fault_of_database(url: URL, has_options: bool) -> str:
    """What is wrong with the URL, without a word of it; empty if nothing is."""
    kind = url.get_backend_name()
    if kind == "sqlite":
        if url.database in (None, "", ":memory:") or url.host:
            return "must name a file, as in sqlite:////var/lib/errand/NAME.db"
        if has_options:
            return "must not have options after '?': in the name of a file, write %3F"
        return _fault_of_path(_at_home(str(url.database)))
    if kind != "postgresql":
        return "must begin with postgresql:// or sqlite:///"
    if "@" in (url.host or ""):
        return "has more than one '@': in a user name or password, write %40"
    if url.port is not None and not 0 < url.port < 65536:
        return "must have a port from 1 to 65535"
    from psycopg.pq import Conninfo  # only where there is a PostgreSQL

    # Not of libpq, but of psycopg.
    known = {option.keyword.decode() for option in Conninfo.get_defaults()} | {"prepare_threshold"}
    return "" if url.query.keys() <= known else "has an option after '?' that PostgreSQL does not know"


def _fault_of_path(path: Path) -> str:
    """What is wrong with its names; empty if nothing is."""
    is_short = all(len(os.fsencode(name)) <= MAX_NAME_BYTES for name in path.parts)
    is_short = is_short and len(os.fsencode(path)) <= MAX_PATH_BYTES
    return "" if is_short else f"has a name of more than {MAX_NAME_BYTES} bytes, or is longer than {MAX_PATH_BYTES}"


def _at_home(path: str) -> Path:
    with suppress(RuntimeError):  # there is no such user, so the name is meant as it is
        return Path(path).expanduser()
    return Path(path)


def _sqlite_url(file: Path) -> str:
    """The URL of a file, whatever characters its name has."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def _content(path: str) -> str:
    """The text of a file, without a byte order mark and without blanks around it. Raises OSError and ValueError."""
    with open(os.path.expanduser(path), encoding="utf-8-sig", errors="strict") as file:
        return file.read(MAX_CHARACTERS + 2).strip()


def _shown(value: str) -> str:
    """A value that has no secret, in quotes and not too long for a line."""
    return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…")
