"""The pages of actions: what operators did, and how far a replay is, of dead letters or of events."""

from typing import Any

from flask import Flask, Response, redirect, request

from bus.console.console import Console
from bus.console.form_values import MOST_RATE, RATE, chosen_rate
from bus.contract.operator.actions import ActionProgress, GetAction, ListActions

MOST_ACTIONS = 200


def add_actions(app: Flask, console: Console) -> None:
    """Add all pages under `/actions`."""
    pages = _Pages(console)
    app.add_url_rule("/actions", "actions", pages.all_actions)
    app.add_url_rule("/actions/<service>/<int:action>", "action", pages.action)
    app.add_url_rule("/actions/<service>/<int:action>/stop", "action_stop", pages.stop, methods=["POST"])
    app.add_url_rule("/actions/<service>/<int:action>/resume", "action_resume", pages.resume, methods=["POST"])


def go_on(
    console: Console, service: str, action: int, *, rate: float, growing: bool = False, body: str | None = None
) -> Any:
    """Drive a replay in this console, for the person of this request, and lead to its page."""
    console.replays.start(console.operator(), service, action, rate=rate, growing=growing, body=body)
    return redirect(f"/actions/{service}/{action}", 303)


class _Pages:
    """The views. Each asks the service for what it shows."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def all_actions(self) -> Response:
        """What operators did at one service, or at all, the newest first."""
        chosen, troubles = request.args.get("service", ""), dict[str, str]()
        if chosen:
            self._console.require_service(chosen)
            answers = {chosen: self._console.ask(chosen, ListActions, limit=MOST_ACTIONS)}
        else:
            services = self._console.watcher.services
            answers, troubles = self._console.ask_all(services, ListActions, limit=MOST_ACTIONS)
        found = [(name, each) for name, answer in answers.items() for each in answer.actions]
        found.sort(key=lambda each: each[1].made_at, reverse=True)
        shown = found[:MOST_ACTIONS]
        return self._console.page(
            "actions.html.jinja", chosen=chosen, found=shown, troubles=troubles, is_cut=len(shown) == MOST_ACTIONS
        )

    def action(self, service: str, action: int) -> Response:
        """How far an action is."""
        self._console.require_service(service)
        running = self._console.replays.of(service, action)
        is_running = running is not None and not running.is_over  # before the count, which may be the last one
        progress: ActionProgress = self._console.ask(service, GetAction, action=action)
        return self._console.page(
            "action.html.jinja",
            name=service,
            progress=progress,
            action=progress.action,
            is_running=is_running,
            trouble="" if running is None or is_running else running.trouble,
            rate=RATE,
            most_rate=MOST_RATE,
        )

    def stop(self, service: str, action: int) -> Any:
        """Stop a replay; what is left stays with it."""
        self._console.require_service(service)
        self._console.replays.stop(service, action)
        return redirect(f"/actions/{service}/{action}", 303)

    def resume(self, service: str, action: int) -> Any:
        """Go on with a replay that was stopped."""
        self._console.require_service(service)
        return go_on(self._console, service, action, rate=chosen_rate(), growing="growing" in request.form)
