"""Publishers: whole programs to copy, each of which sends one request, waits for its answer and prints it."""

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

# What a person at a terminal will wait for; a worker at rest answers in milliseconds.
DEADLINE_SECONDS = 5
SEALING = 'docs/wire.md, "Sealing secrets"'

_FILES = Path(__file__).parent / "templates" / "programs"


@dataclass(frozen=True)
class Language:
    """A language, or a tool: the template of its programs, what it is called, the file they are kept in, and how to
    get what they need and run them, as a line for a shell."""

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
    """A program. It takes the broker's URL from `BUS_URL`, prints status and body of the answer, and exits with
    another code than 0 when there is none, or when it is a problem."""

    language: Language
    text: str


def publishers_of(operation: type[Operation[Any]], fields: Mapping[str, object]) -> tuple[Publisher, ...]:
    """The programs that send these fields, one for each language. Raises Invalid for fields that JSON cannot say."""
    words = {
        "name": operation.operation_name,
        "fields": parse(encode_fields(fields)),
        "secrets": sorted(secrets_of(operation) & fields.keys()),
        "is_command": operation.is_command,
        "status": operation.success_status,
        "deadline_seconds": DEADLINE_SECONDS,
        "sealing": SEALING,
    }
    return tuple(Publisher(each, _environment().get_template(each.template).render(words)) for each in LANGUAGES)


def listener_of(event: type[Event]) -> str:
    """The program, in Python, that prints the events of a class as they come, and misses none while it is not run."""
    return _environment().get_template("listener.py.jinja").render(name=event.operation_name)


@cache
def _environment() -> Environment:
    """Nothing is escaped as for HTML: every value goes through the filter of its language instead."""
    environment = Environment(  # noqa: S701  # programs are no HTML
        loader=FileSystemLoader(_FILES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (literals.python, literals.javascript, literals.go, literals.shell)
    environment.filters |= {each.__name__: each for each in filters}
    return environment
