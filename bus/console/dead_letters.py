"""The pages of dead letters: groups and lists, one letter, and what to do with them."""

from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, redirect, request
from werkzeug.exceptions import BadRequest, Conflict

from bus.client.replay import TAKE_SECONDS
from bus.console.actions import go_on
from bus.console.console import Console
from bus.console.form_values import MOST_RATE, RATE, chosen_rate, chosen_reason, number_of
from bus.contract.codec import encode
from bus.contract.operator.dead_letters import (
    MAX_LETTERS,
    BodyNotAcceptable,
    DeadLetterFilter,
    DeadLetterInFull,
    GetDeadLetter,
    GroupDeadLetters,
    GroupName,
    ListDeadLetters,
    TakeDeadLetters,
)
from bus.contract.problems import Invalid, Problem
from bus.contract.validation import decode
from bus.dead_letters.body import compact, readable
from bus.messaging.message import JSON, MAX_BODY_BYTES, check_body

# Letters on one page of a list, and those that a preview shows.
PAGE, SHOWN = 50, 20
MOST_GROUPS = 500
NOTHING_LEFT = "None of these letters waits any more: another operator has handled them."


def add_dead_letters(app: Flask, console: Console) -> None:
    """Add all pages under `/dead-letters`."""
    pages = _Pages(console)
    for path, method, view in (
        ("", "GET", pages.all_groups),
        ("/<service>", "GET", pages.letters),
        ("/<service>/letters/<int:number>", "GET", pages.letter),
        ("/<service>/letters/<int:number>/edit", "POST", pages.edit),
        ("/<service>/preview", "POST", pages.preview),
        ("/<service>/actions", "POST", pages.begin),
    ):
        app.add_url_rule(f"/dead-letters{path}", f"dead_letters_{view.__name__}", view, methods=[method])


class _Pages:
    """The views. Each asks the service for what it shows."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def all_groups(self) -> Response:
        """The groups of all services; for one that does not answer, why."""
        dead = DeadLetterFilter(state="dead")
        services = self._console.watcher.services
        answers, troubles = self._console.ask_all(services, GroupDeadLetters, filter=dead, limit=MOST_GROUPS)
        groups = {name: answer.groups for name, answer in answers.items()}
        found = {name: groups.get(name, troubles.get(name)) for name in services}
        return self._console.page("groups.html.jinja", found=found)

    def letters(self, service: str) -> Response:
        """The letters of a service that match the filter of the query string, the newest first."""
        self._console.require_service(service)
        chosen, after = _filter(request.args), number_of(request.args.get("after", "0"))
        page = self._console.ask(
            service, ListDeadLetters, filter=chosen, after=after, limit=PAGE, newest_first=True, counted=True
        )
        words = {name: value for name, value in request.args.items() if name != "after" and value}
        following = ""
        if len(page.letters) == PAGE:
            following = f"?{urlencode({**words, 'after': page.letters[-1].id})}"
        return self._console.page(
            "letters.html.jinja", name=service, page=page, chosen=chosen, words=words, following=following
        )

    def letter(self, service: str, number: int) -> Response:
        """One letter with everything in it."""
        return self._letter(service, self._found(service, number))

    def edit(self, service: str, number: int) -> Any:
        """Send a letter with the body of the form; shows the letter again if that is not acceptable."""
        found, body = self._found(service, number), request.form.get("body", "")
        self._console.replays.require_room()
        try:
            sealed = self._checked(service, found.letter.operation, body)
            chosen = DeadLetterFilter(ids=[number], state="dead")
            fields = {"kind": "edit", "filter": chosen, "reason": chosen_reason(), "body": sealed}
            taken = self._console.ask(service, TakeDeadLetters, timeout=TAKE_SECONDS, **fields)
        except (Invalid, BodyNotAcceptable) as error:
            return self._letter(service, found, body, error.problem, 422)
        return go_on(self._console, service, taken.action, rate=RATE, body=sealed)

    def preview(self, service: str) -> Response:
        """What an action would take: exactly what was shown, and nothing that has come since."""
        self._console.require_service(service)
        kind = request.form.get("kind")
        if kind not in ("replay", "discard"):
            raise BadRequest("The form names neither a replay nor a discard.")
        chosen = _filter(request.form)
        found = self._console.ask(service, ListDeadLetters, filter=chosen, limit=SHOWN, counted=True)
        count = found.replayable if kind == "replay" else found.matching
        skipped = found.matching - found.replayable if kind == "replay" else 0
        return self._console.page(
            "preview.html.jinja",
            name=service,
            kind=kind,
            found=found,
            count=count,
            skipped=skipped,
            chosen=chosen,
            rate=RATE,
            most_rate=MOST_RATE,
        )

    def begin(self, service: str) -> Any:
        """Do what the preview has shown."""
        self._console.require_service(service)
        kind, chosen = request.form.get("kind"), _filter(request.form)
        if kind not in ("replay", "discard"):
            raise BadRequest("The form names neither a replay nor a discard.")
        fields: dict[str, Any] = {"kind": kind, "filter": chosen, "reason": chosen_reason()}
        if first := request.form.get("first", "").strip():
            fields["limit"] = number_of(first)
            if not 0 < fields["limit"] <= MAX_LETTERS:
                raise BadRequest(f"Only the first is a number from 1 to {MAX_LETTERS}, or empty for all.")
        rate = chosen_rate()
        if kind == "discard" and not fields["reason"]:
            raise BadRequest("A discard has a reason. Go back and give one.")
        if kind == "replay":
            self._console.replays.require_room()
        taken = self._console.ask(service, TakeDeadLetters, timeout=TAKE_SECONDS, **fields)
        if taken.action is None:
            raise Conflict(NOTHING_LEFT)
        if kind == "replay":
            return go_on(self._console, service, taken.action, rate=rate, growing="growing" in request.form)
        return redirect(f"/actions?service={service}", 303)

    def _found(self, service: str, number: int) -> DeadLetterInFull:
        self._console.require_service(service)
        found: DeadLetterInFull = self._console.ask(service, GetDeadLetter, which=str(number))
        return found

    def _letter(
        self,
        service: str,
        found: DeadLetterInFull,
        body: str | None = None,
        fault: Problem | None = None,
        status: int = 200,
    ) -> Response:
        shown = readable(found.body)
        return self._console.page(
            "letter.html.jinja",
            status,
            name=service,
            found=found,
            letter=found.letter,
            shown=shown,
            edited=shown if body is None else body,
            fault=fault,
        )

    def _checked(self, service: str, operation_name: str, body: str) -> str:
        """The body with its secrets sealed. Raises Invalid for one that breaks the contract, where that is known."""
        body = compact(body)
        raw = body.encode()
        check_body(JSON, None, len(raw), MAX_BODY_BYTES)
        operation = self._console.known[service].operations.get(operation_name)
        if operation is None:
            return body
        return self._console.client.sealed(operation, encode(decode(raw, operation))).decode()


def _filter(given: Any) -> DeadLetterFilter:
    """The filter of a query string or a form. Raises BadRequest."""
    state = given.get("state", "dead")
    if state not in ("dead", "chosen", "replayed", "discarded", "any"):
        raise BadRequest("state is one of dead, chosen, replayed, discarded and any.")
    if "picked" in given and not given.getlist("ids"):  # without ids, the filter would match all
        raise BadRequest("Nothing is selected. Go back and tick the letters.")
    words = {name: given.get(name, "").strip()[:255] for name in ("operation", "error", "which")}
    group = None
    if "in_reason" in given:  # the link of a group has all three, and those that are empty are meant
        group = GroupName(**{name: given.get(f"in_{name}", "")[:255] for name in GroupName.__struct_fields__})
    return DeadLetterFilter(
        **words,
        group=group,
        state="" if state == "any" else state,
        action=number_of(given.get("action", "0")),
        ids=[number_of(each) for each in given.getlist("ids")],
        up_to=number_of(given.get("up_to", "0")),
    )
