"""The Flask application of the console: log-in, the overview, and what holds for every page."""

from hashlib import sha256
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, g, redirect, request
from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, NotFound, ServiceUnavailable

from bus.console.access import WRONG_TOKEN, Access
from bus.console.accounts import Denied
from bus.console.actions import add_actions
from bus.console.calling import add_calling
from bus.console.console import FILES, Console
from bus.console.dead_letters import add_dead_letters
from bus.console.event_replays import add_event_replays
from bus.console.events import EVENTS_STREAM, add_events
from bus.console.overview import STREAM, add_overview
from bus.console.requests import add_requests
from bus.contract.problems import ProblemError
from bus.http.request_body import MAX_BODY_BYTES
from bus.messaging.message import MAX_BODY_BYTES as MAX_MESSAGE_BYTES

COOKIE = "errand_console"
# Reached without a session.
OPEN_PATHS = frozenset({"/login", "/console.js", "/health/live"})
# What is possible while accounts are away: to leave, to stop what runs, and to see what an action would take.
HARMLESS = frozenset({"log_out", "action_stop", "dead_letters_preview", "event_replay_preview"})
# What the framework says to those who have typed an address, for people who follow links and send forms.
_IN_WORDS: dict[str | None, str] = {
    NotFound.description: "There is no such page.",
    MethodNotAllowed.description: "This address takes a form, and is no page.",
}
# Forms with the body of a message. A page shows one of MAX_MESSAGE_BYTES with a replacement character of three bytes,
# or an escape of four, for each byte that is no text; indented it is no longer, and a browser sends CR LF for a line
# break (HTML, "Constructing the entry list").
LONG_FORMS = frozenset({"dead_letters_edit", "call"})
LONG_FORM_BYTES = 4 * MAX_MESSAGE_BYTES + MAX_BODY_BYTES


def console_application(console: Console) -> Flask:
    """The application with all pages."""
    app = Flask("bus.console", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.before_request(lambda: _check_access(console.access))
    app.register_error_handler(ProblemError, lambda error: _trouble(console, error))
    app.register_error_handler(HTTPException, lambda error: _http_error(console, error))
    script = (FILES / "console.js").read_bytes()
    tag = sha256(script).hexdigest()
    app.add_url_rule("/console.js", "script", lambda: _script(script, tag))
    app.add_url_rule("/health/live", "live", lambda: Response('{"status":"live"}', content_type="application/json"))
    app.add_url_rule("/login", "login", lambda: _log_in_page(console))
    app.add_url_rule("/login", "log_in", lambda: _log_in(console), methods=["POST"])
    app.add_url_rule("/logout", "log_out", lambda: _log_out(console.access), methods=["POST"])
    add_overview(app, console)
    add_dead_letters(app, console)
    add_calling(app, console)
    add_requests(app, console)
    add_events(app, console)
    add_event_replays(app, console)
    add_actions(app, console)
    return app


def _check_access(access: Access) -> Any:
    """Let in requests with a session; those that change something need its CSRF token and our own origin."""
    if request.method == "POST" and _is_from_elsewhere():
        raise Forbidden("This form came from another page.")
    if request.path in OPEN_PATHS:
        return None
    if token := request.args.get("token") if request.method == "GET" else None:
        return _entered(access, token)
    # A live page asks for its stream again and again, whether or not somebody sits before it.
    session = access.session(request.cookies.get(COOKIE, ""), is_used=request.path not in (STREAM, EVENTS_STREAM))
    if session is None:
        return redirect(_way_to_log_in(), 303)
    if request.endpoint in LONG_FORMS:
        request.max_content_length = request.max_form_memory_size = LONG_FORM_BYTES
    g.session = session
    if request.method == "POST" and request.form.get("csrf") != session.csrf:
        raise Forbidden("This form is from before your log-in. Go back, reload the page and fill it in again.")
    if request.method == "POST" and request.endpoint not in HARMLESS and not access.may_change(session):
        raise ServiceUnavailable("Whether you may still do this cannot be found out, because accounts do not answer.")
    return None


def _way_to_log_in() -> str:
    """The page for the log-in, which leads back to the page that is asked for."""
    wanted = request.full_path.removesuffix("?")
    is_page = request.method == "GET" and request.path not in ("/", STREAM, EVENTS_STREAM)
    return f"/login?{urlencode({'next': wanted})}" if is_page else "/login"


def _wanted() -> str:
    """The page that was asked for before the log-in, one of ours."""
    path = request.values.get("next", "")
    is_ours = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_ours else "/"


def _is_from_elsewhere() -> bool:
    """Whether the browser says that the form belongs to another site (Fetch Metadata). Older ones send its origin.

    The origin of our own forms is `null`, because our pages send no referrer.
    """
    origin, site = request.headers.get("Origin", "null"), request.headers.get("Sec-Fetch-Site", "same-origin")
    return site not in ("same-origin", "none") or (origin != "null" and urlsplit(origin).netloc != request.host)


def _entered(access: Access, token: str) -> Any:
    """Exchange the token in the address, which stays in the browser's history, for a cookie."""
    try:
        return _with_cookie(redirect(request.path, 303), access.enter_with_token(token))
    except Denied:
        return redirect("/login?denied=1", 303)


def _log_in_page(console: Console, denied: str = "", login: str = "") -> Response:
    if not denied and "denied" in request.args:
        denied = f"{WRONG_TOKEN} Unless BUS_CONSOLE_TOKEN sets one, it is new at each start."
    status = 403 if request.method == "POST" else 200
    return console.page(
        "login.html.jinja",
        status,
        denied=denied,
        login=login,
        with_accounts=console.access.with_accounts,
        wanted=_wanted(),
    )


def _log_in(console: Console) -> Any:
    form, access = request.form, console.access
    try:
        if form.get("token"):
            cookie = access.enter_with_token(form["token"].strip())
        elif access.with_accounts:
            given = (form.get("login", ""), form.get("password", ""), form.get("otp", "").strip())
            cookie = access.log_in(*given, request.remote_addr or "")
        else:
            raise Denied("Give the token of the console.")
    except Denied as denied:
        return _log_in_page(console, str(denied), form.get("login", ""))
    return _with_cookie(redirect(_wanted(), 303), cookie)


def _log_out(access: Access) -> Any:
    access.leave(request.cookies.get(COOKIE, ""))
    response = redirect("/login", 303)
    response.delete_cookie(COOKIE, samesite="Strict", httponly=True)
    return response


def _with_cookie(response: Any, cookie: str) -> Any:
    response.set_cookie(COOKIE, cookie, httponly=True, samesite="Strict", secure=request.is_secure)
    return response


def _script(script: bytes, tag: str) -> Response:
    response = Response(script, content_type="text/javascript; charset=utf-8")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.cache_control.no_cache = True
    response.set_etag(tag)
    response.make_conditional(request)
    return response


def _trouble(console: Console, error: ProblemError) -> Response:
    """A service that refused, or does not answer: a page that says so, with the way back."""
    problem = error.problem
    return _trouble_page(console, problem.status, problem.title, problem.detail)


def _http_error(console: Console, error: HTTPException) -> Response:
    said = error.description or ""
    detail = _IN_WORDS.get(said, said)
    return _trouble_page(console, error.code or 500, error.name, detail)


def _trouble_page(console: Console, status: int, title: str, detail: str) -> Response:
    is_form = request.method == "POST"  # its path may be for forms alone
    again = "" if is_form or status < 500 else request.full_path.removesuffix("?")
    return console.page("trouble.html.jinja", status, title=title, detail=detail, is_form=is_form, again=again)
