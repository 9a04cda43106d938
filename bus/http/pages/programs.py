"""Programs to copy: each sends one request, waits for the reply and prints it. One more listens to an event."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bus.contract.codec import encode_fields, parse
from bus.contract.events import Event
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.http.pages import literals

# Long enough for a person at a terminal. An idle worker answers in milliseconds.
DEADLINE_SECONDS = 5
SEALING = 'docs/wire.md, "Sealing secrets"'

_FILES = Path(__file__).parent / "templates" / "programs"


@dataclass(frozen=True)
class Language:
    """A language or tool: its template and title, the file to save a program in, and the shell commands that install
    what the program needs and run it."""

    key: str
    template: str
    title: str
    file: str
    run: str


LANGUAGES = (
    Language("python", "python.py.jinja", "Python", "publish.py", "pip install pika && python publish.py"),
    Language("node", "node.mjs.jinja", "Node", "publish.mjs", "npm install amqplib && node publish.mjs"),
    Language("shell", "shell.sh.jinja", "Shell", "publish.sh", "apt-get install amqp-tools && sh publish.sh"),
    Language(
        "go",
        "go.go.jinja",
        "Go",
        "publish.go",
        "go mod init publish && go get github.com/rabbitmq/amqp091-go && go run .",
    ),
    Language("bus", "bus.sh.jinja", "bus", "publish-with-bus.sh", "sh publish-with-bus.sh"),
)


@dataclass(frozen=True)
class Publisher:
    """A program. It reads the broker's URL from `BUS_URL` and prints the status and body of the reply. It exits with a
    code other than 0 when no reply comes or the reply is a problem."""

    language: Language
    text: str


def publishers_of(operation: type[Operation[Any]], fields: Mapping[str, object]) -> tuple[Publisher, ...]:
    """The programs that send these fields, one for each language. Raises Invalid for fields that JSON cannot hold."""
    words = {
        "name": operation.operation_name,
        "fields": parse(encode_fields(fields)),
        "secrets": sorted(secrets_of(operation) & fields.keys()),
        "is_durable": operation.is_durable,
        "status": operation.success_status,
        "deadline_seconds": DEADLINE_SECONDS,
        "sealing": SEALING,
    }
    return tuple(Publisher(each, _environment().get_template(each.template).render(words)) for each in LANGUAGES)


def listener_of(event: type[Event]) -> str:
    """The Python program that prints the events of a class. Its queue keeps the events while it does not run."""
    return _environment().get_template("listener.py.jinja").render(name=event.operation_name)


@cache
def _environment() -> Environment:
    """Values are not escaped as HTML, but written by the filter of their language."""
    environment = Environment(  # noqa: S701  # programs are not HTML
        loader=FileSystemLoader(_FILES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (literals.python, literals.javascript, literals.go, literals.shell)
    environment.filters |= {each.__name__: each for each in filters}
    return environment
