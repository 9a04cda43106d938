"""Breaking changes: what callers and listeners lose when a contract changes, in both directions of the change."""

import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from bus.contract.events import Event
from bus.contract.fields import DecimalRange, Secret
from bus.contract.operations import Command, Query, Reply
from bus.contract.refusals import Refusal
from bus.http.documents import as_text, asyncapi, openapi
from bus.http.documents.breaking_changes import Break, breaks
from bus.http.documents.description import parse_document

Fields = dict[str, Any]
OPTIONAL = {"more": (int | UnsetType, UNSET)}


class Narrow(msgspec.Struct):
    width: Annotated[int, Meta(le=5)]


class Wide(msgspec.Struct):
    width: Annotated[int, Meta(le=9)]


class Leaf(msgspec.Struct):
    inside: "Leaf | None"


class Ring(msgspec.Struct):
    inside: "Ring | None"
    size: int


@dataclass
class State:
    """A contract of one operation and one event, at one time. The hint of a field may come with its default."""

    request: Fields = field(default_factory=lambda: {"word": str})
    reply: Fields = field(default_factory=lambda: {"id": int})
    event: Fields = field(default_factory=lambda: {"version": int})
    kind: Any = Command
    name: str = "shop.make"
    event_name: str = "shop.made"
    http: str = "POST /things"
    status: int = 201
    refuses: tuple[tuple[str, str, int], ...] = (("Taken", "shop.taken", 409),)
    location: bool = True
    doc: str = "Make it."

    def documents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The two documents, as they are read from files."""
        contract = types.ModuleType("shop", "A shop.")
        contract.Make = self._operation()  # type: ignore[attr-defined]
        if self.event_name:
            contract.Made = _declared("Made", Event, self.event, name=self.event_name)  # type: ignore[attr-defined]
        made = (parse_document(as_text(make("shop", contract))) for make in (openapi, asyncapi))
        return next(made), next(made)

    def _operation(self) -> Any:
        reply = _declared("Thing", Reply, self.reply)
        if self.location:
            reply.location = lambda self: "/things/1"
        refused = [types.new_class(name, (Refusal,), {"code": code, "status": status})
                   for name, code, status in self.refuses]  # fmt: skip
        options = {"name": self.name, "http": self.http, "status": self.status, "refuses": refused}
        operation = _declared("Make", self.kind[reply], self.request, **options)
        operation.__doc__ = self.doc
        return operation


def _declared(class_name: str, base: Any, fields: Fields, **options: Any) -> Any:
    hints = {name: hint[0] if isinstance(hint, tuple) else hint for name, hint in fields.items()}
    defaults = {name: hint[1] for name, hint in fields.items() if isinstance(hint, tuple)}
    body = {"__annotations__": hints, "__module__": __name__, **defaults}
    return types.new_class(class_name, (base,), options, lambda namespace: namespace.update(body))


@dataclass(frozen=True)
class Row:
    """Two states, what is lost from the first to the second, and what the other way."""

    one: State
    other: State
    there: tuple[str, ...] = ()
    back: tuple[str, ...] = ()


def _request(one: Fields, other: Fields, there: str = "", back: str = "") -> Row:
    return Row(State(request=one), State(request=other), _lines("request", there), _lines("request", back))


def _reply(one: Fields, other: Fields, there: str = "", back: str = "") -> Row:
    return Row(State(reply=one), State(reply=other), _lines("reply", there), _lines("reply", back))


def _event(one: Fields, other: Fields, there: str = "", back: str = "") -> Row:
    one, other = {"version": int, **one}, {"version": int, **other}
    return Row(State(event=one), State(event=other), _lines("event", there), _lines("event", back))


def _lines(where: str, text: str) -> tuple[str, ...]:
    name = "shop.made" if where == "event" else "shop.make"
    return (f"{name}: {where} {text}",) if text else ()


def _bounded(**bounds: Any) -> Any:
    return Annotated[int, Meta(**bounds)]


def _sized(**bounds: Any) -> Any:
    return Annotated[str, Meta(**bounds)]


def _exact(places: int) -> Any:
    return Annotated[Decimal, DecimalRange(places=places, ge=Decimal(0), le=Decimal(5))]


REQUESTS = {
    "a required field": _request({}, {"a": int}, "/a is required now", "/a is no longer accepted"),
    "an optional field": _request({}, OPTIONAL, "", "/more is no longer accepted"),
    "a required field that may be left out": _request({"a": int}, {"a": (int, 1)}, "", "/a is required now"),
    "another type": _request({"a": int}, {"a": str}, "/a no longer accepts integer", "/a no longer accepts string"),
    "numbers for whole numbers": _request({"a": int}, {"a": float}, "", "/a no longer accepts number"),
    "null": _request({"a": int}, {"a": int | None}, "", "/a no longer accepts null"),
    "a larger maximum": _request({"a": _bounded(le=5)}, {"a": _bounded(le=9)}, "",
                                 "/a accepts less: maximum is 5 now, was 9"),
    "a smaller minimum": _request({"a": _bounded(ge=5)}, {"a": _bounded(ge=1)}, "",
                                  "/a accepts less: minimum is 5 now, was 1"),
    "no maximum": _request({"a": _bounded(le=5)}, {"a": int}, "", "/a accepts less: maximum is 5 now, was none"),
    "exclusive bounds": _request({"a": _bounded(lt=5)}, {"a": _bounded(lt=9)}, "",
                                 "/a accepts less: exclusiveMaximum is 5 now, was 9"),
    "longer text": _request({"a": _sized(max_length=5)}, {"a": _sized(max_length=9)}, "",
                            "/a accepts less: maxLength is 5 now, was 9"),
    "shorter text": _request({"a": _sized(min_length=5)}, {"a": _sized(min_length=2)}, "",
                             "/a accepts less: minLength is 5 now, was 2"),
    "another pattern": _request({"a": _sized(pattern="^a+$")}, {"a": _sized(pattern="^b+$")},
                                "/a accepts less: pattern is ^b+$ now, was ^a+$",
                                "/a accepts less: pattern is ^a+$ now, was ^b+$"),
    "finer steps": _request({"a": _exact(1)}, {"a": _exact(2)}, "",
                            "/a accepts less: multipleOf is 0.1 now, was 0.01"),
    "one more choice": _request({"a": Literal["x"]}, {"a": Literal["x", "y"]}, "", '/a no longer accepts "y"'),
    "any text for choices": _request({"a": Literal["x"]}, {"a": str}, "",
                                     '/a no longer accepts values other than "x"'),
    "a longer list": _request({"a": Annotated[list[int], Meta(max_length=2)]},
                              {"a": Annotated[list[int], Meta(max_length=4)]}, "",
                              "/a accepts less: maxItems is 2 now, was 4"),
    "other entries": _request({"a": list[int]}, {"a": list[float]}, "", "/a/* no longer accepts number"),
    "other values of a dictionary": _request({"a": dict[str, int]}, {"a": dict[str, float]}, "",
                                             "/a/* no longer accepts number"),
    "inside": _request({"a": Narrow}, {"a": Wide}, "", "/a/width accepts less: maximum is 5 now, was 9"),
    "inside, or null": _request({"a": Narrow | None}, {"a": Wide | None}, "",
                                "/a/width accepts less: maximum is 5 now, was 9"),
    "no pattern": _request({"a": _sized(pattern="^a+$")}, {"a": str}, "",
                           "/a accepts less: pattern is ^a+$ now, was ^[^\\x00-\\x1f\\x7f-\\x9f]*$"),
    "bounds for choices": _request({"a": Literal["x", "yy"]}, {"a": _sized(max_length=1)},
                                   '/a no longer accepts "yy"',
                                   '/a no longer accepts values other than "x", "yy"'),
    "bounds for numbers": _request({"a": Literal[1, 9]}, {"a": _bounded(lt=9)}, "/a no longer accepts 9",
                                   "/a no longer accepts values other than 1, 9"),
    "a pattern for choices": _request({"a": Literal["x", "y"]}, {"a": _sized(pattern="^x$")},
                                      '/a no longer accepts "y"',
                                      '/a no longer accepts values other than "x", "y"'),
}  # fmt: skip

REPLIES = {
    "a field": _reply({}, {"a": int}, "", "/a is no longer sent"),
    "an optional field": _reply({}, OPTIONAL, "", "/more is no longer sent"),
    "a field that may be missing": _reply({"more": int}, OPTIONAL, "/more may be missing now"),
    "a field with a default, which is always told": _reply({"a": int}, {"a": (int, 1)}),
    "another type": _reply({"a": int}, {"a": str}, "/a may be string now", "/a may be integer now"),
    "numbers for whole numbers": _reply({"a": int}, {"a": float}, "/a may be number now"),
    "null": _reply({"a": int}, {"a": int | None}, "/a may be null now"),
    "one more choice": _reply({"a": Literal["x"]}, {"a": Literal["x", "y"]}, '/a may be "y" now'),
    "a larger maximum": _reply({"a": _bounded(le=5)}, {"a": _bounded(le=9)},
                               "/a allows more: maximum is 9 now, was 5"),
    "no minimum": _reply({"a": _bounded(ge=1)}, {"a": int}, "/a allows more: minimum is none now, was 1"),
    "other entries": _reply({"a": list[int]}, {"a": list[str]}, "/a/* may be string now", "/a/* may be integer now"),
    "inside": _reply({"a": Narrow}, {"a": Wide}, "/a/width allows more: maximum is 9 now, was 5"),
    "anything": _reply({"a": int}, {"a": Any}, "/a may be anything now"),
}  # fmt: skip

EVENTS = {
    "a field": _event({}, {"a": int}, "", "/a is no longer sent"),
    "a field that may be missing": _event({"more": int}, OPTIONAL, "/more may be missing now"),
    "another type": _event({"a": int}, {"a": str}, "/a may be string now", "/a may be integer now"),
    "null": _event({"a": int}, {"a": int | None}, "/a may be null now"),
    "one more choice": _event({"a": Literal["x"]}, {"a": Literal["x", "y"]}, '/a may be "y" now'),
}

OPERATIONS = {
    "another status": Row(State(), State(status=200),
                          ("shop.make: the success status is 200 now, was 201",),
                          ("shop.make: the success status is 201 now, was 200",)),
    "another status, on its queue alone": Row(State(http=""), State(http="", status=200),
                                              ("shop.make: the success status is 200 now, was 201",),
                                              ("shop.make: the success status is 201 now, was 200",)),
    "another path": Row(State(), State(http="POST /stuff"),
                        ("shop.make: POST /things is now POST /stuff",),
                        ("shop.make: POST /stuff is now POST /things",)),
    "another method": Row(State(), State(http="PUT /things"),
                          ("shop.make: POST /things is now PUT /things",),
                          ("shop.make: PUT /things is now POST /things",)),
    "no route": Row(State(), State(http=""), ("shop.make: POST /things was removed",)),
    "a query": Row(State(http=""), State(http="", kind=Query),
                   ("shop.make: is a query now, was a command",),
                   ("shop.make: is a command now, was a query",)),
    "no location": Row(State(), State(location=False), ("shop.make: the reply no longer has a Location",)),
    "another operation": Row(State(), State(name="shop.build"),
                             ("shop.make: POST /things was removed", "shop.make: was removed"),
                             ("shop.build: POST /things was removed", "shop.build: was removed")),
    "no event": Row(State(), State(event_name=""), ("shop.made: was removed",)),
    "another refusal": Row(State(), State(refuses=(("Taken", "shop.taken", 409), ("Gone", "shop.gone", 410)))),
    "a refusal with another status": Row(State(), State(refuses=(("Taken", "shop.taken", 422),)),
                                         ("shop.make: the refusal shop.taken has the status 422, was 409",),
                                         ("shop.make: the refusal shop.taken has the status 409, was 422",)),
    "a refusal with another code": Row(State(), State(refuses=(("Taken", "shop.used", 409),)),
                                       ("shop.make: the refusal shop.taken has the code shop.used now",),
                                       ("shop.make: the refusal shop.used has the code shop.taken now",)),
    "a refusal with another class": Row(State(), State(refuses=(("Used", "shop.taken", 409),))),
    "other words": Row(State(), State(doc="Make it well.\n\nVery well.")),
}  # fmt: skip

ROWS = {
    f"{what}: {name}": row
    for what, rows in (("request", REQUESTS), ("reply", REPLIES), ("event", EVENTS), ("operation", OPERATIONS))
    for name, row in rows.items()
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_a_change_loses_what_the_table_says_and_no_more(row: Row) -> None:
    one, other = row.one.documents(), row.other.documents()
    assert tuple(map(str, breaks(one, other))) == row.there
    assert tuple(map(str, breaks(other, one))) == row.back


def test_a_change_in_a_class_that_holds_itself_is_found_and_ends() -> None:
    one, other = State(reply={"tree": Leaf}), State(reply={"tree": Ring})
    assert breaks(one.documents(), other.documents()) == []
    assert str(breaks(other.documents(), one.documents())[0]) == "shop.make: reply /tree/size is no longer sent"


def test_a_field_that_becomes_secret_is_still_accepted_plain_and_not_the_other_way_round() -> None:
    one, other = State(request={"a": str}), State(request={"a": Annotated[str, Secret()]})
    assert breaks(one.documents(), other.documents()) == []
    back = {str(each) for each in breaks(other.documents(), one.documents())}
    assert {"shop.get_sealing_key: was removed", "shop.make: request /sealed is no longer accepted"} <= back


def test_a_change_of_a_secret_request_is_reported_once() -> None:
    secret = {"word": str, "key": Annotated[str, Secret()]}
    one, other = State(request=secret), State(request={**secret, "a": int})
    lines = [str(each) for each in breaks(one.documents(), other.documents())]
    assert lines == ["shop.make: request /a is required now"]


def test_a_new_operation_or_event_breaks_nothing() -> None:
    whole, part = State().documents(), State().documents()
    for document in part:
        for found in _holding(document, "shop.make"):
            del found["shop.make"]
    part[0]["paths"].pop("/things")
    assert breaks(part, whole) == []
    assert Break("shop.make", "", "was removed") in breaks(whole, part)


def _holding(value: Any, name: str) -> Iterator[dict[str, Any]]:
    return (each for each in value.values() if isinstance(each, dict) and name in each)
