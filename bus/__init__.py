"""Errand's library: services that are called by messages, each effect once.

    from bus import Application, Client, Command, Event, Query, Refusal, Reply, Service, Work

What a service declares comes from here; `bus.http` has the front end, `bus.database` statements for many rows
and for pages, `bus.columns` column types, `bus.testing` helpers for tests. Everything else is private and may change.

The packages, each of which imports only those below it:

    cli                the command `bus`
    testing, runtime   real servers for tests; settings, processes, `bus run`
    console, worker    the front end for operators; takes messages, carries them out, answers
    http, service      the Flask front end; handlers and what they are given
    files              files of many things, and their import
    client             calls operations
    dead_letters       messages set aside for a person
    security           keys and seals
    database           engine, inbox, outbox, pages
    columns            column types for tables
    telemetry          logs, metrics, traces
    messaging          the wire and the two transports
    contract           operations, events, refusals, fields
    parent             ends a process with the one that started it
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus.client.client import Client
    from bus.contract.codec import parse
    from bus.contract.events import Event
    from bus.contract.fields import DecimalRange, MultiLine, RuleViolation, Secret
    from bus.contract.identity import ANONYMOUS, Caller, JsonWebKeySet, ServiceToken, SigningJwk
    from bus.contract.one_of import OneOf
    from bus.contract.operations import Command, Query, Reply, TransientCommand
    from bus.contract.pages import InvalidCursor, PageQuery, page_after
    from bus.contract.problems import FieldError, Invalid, Problem, ReplyTimeout, Unavailable
    from bus.contract.refusals import Refusal, Refused
    from bus.contract.settings import MayBeOpen, Settings
    from bus.contract.validation import accept
    from bus.contract.visible_text import READABLE, VISIBLE
    from bus.database.past_events import PastEvent
    from bus.service.application import Application
    from bus.service.job import Job
    from bus.service.service import Service
    from bus.service.work import Work

__all__ = [
    "ANONYMOUS",
    "READABLE",
    "VISIBLE",
    "Application",
    "Caller",
    "Client",
    "Command",
    "DecimalRange",
    "Event",
    "FieldError",
    "Invalid",
    "InvalidCursor",
    "Job",
    "JsonWebKeySet",
    "MayBeOpen",
    "MultiLine",
    "OneOf",
    "PageQuery",
    "PastEvent",
    "Problem",
    "Query",
    "Refusal",
    "Refused",
    "Reply",
    "ReplyTimeout",
    "RuleViolation",
    "Secret",
    "Service",
    "ServiceToken",
    "Settings",
    "SigningJwk",
    "TransientCommand",
    "Unavailable",
    "Work",
    "accept",
    "page_after",
    "parse",
]


def lazy_exports(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562) that loads each module with the first of its names that is asked for."""
    module_of = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    return load


# A contract needs neither the client nor the database.
__getattr__ = lazy_exports(
    __name__,
    {
        "bus.client.client": ("Client",),
        "bus.contract.codec": ("parse",),
        "bus.contract.events": ("Event",),
        "bus.contract.fields": ("DecimalRange", "MultiLine", "RuleViolation", "Secret"),
        "bus.contract.identity": ("ANONYMOUS", "Caller", "JsonWebKeySet", "ServiceToken", "SigningJwk"),
        "bus.contract.one_of": ("OneOf",),
        "bus.contract.operations": ("Command", "Query", "Reply", "TransientCommand"),
        "bus.contract.pages": ("InvalidCursor", "PageQuery", "page_after"),
        "bus.contract.problems": ("FieldError", "Invalid", "Problem", "ReplyTimeout", "Unavailable"),
        "bus.contract.refusals": ("Refusal", "Refused"),
        "bus.contract.settings": ("MayBeOpen", "Settings"),
        "bus.contract.validation": ("accept",),
        "bus.contract.visible_text": ("READABLE", "VISIBLE"),
        "bus.database.past_events": ("PastEvent",),
        "bus.service.application": ("Application",),
        "bus.service.job": ("Job",),
        "bus.service.service": ("Service",),
        "bus.service.work": ("Work",),
    },
)
