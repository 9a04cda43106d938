"""Views that block run in threads; the event loop serves others meanwhile."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from flask import Blueprint, Flask, Response, request
from support.serving import serving

from bus.contract.problems import ProblemError
from bus.http import blocking
from bus.http.blocking import never_blocks, register_views
from bus.testing.waiting import wait_until

LONG_SECONDS = 60.0


class Views:
    """Three views: one that blocks until `go_on`, one that tells its thread, and a marked one that does."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.blocked = 0
        self.routes = Blueprint("views", __name__)
        self.routes.add_url_rule("/blocks/<name>", "blocks", self.blocks)
        self.routes.add_url_rule("/thread", "thread", self.thread)
        self.routes.add_url_rule("/marked", "marked", never_blocks(self._marked()))

    def blocks(self, name: str) -> str:
        self.blocked += 1
        self.go_on.wait(LONG_SECONDS)
        return f"{name} {request.args['x']}"

    def thread(self) -> str:
        return threading.current_thread().name

    def _marked(self) -> Callable[[], str]:
        return lambda: threading.current_thread().name


@pytest.fixture
def views() -> Iterator[Views]:
    views = Views()
    yield views
    views.go_on.set()


@pytest.fixture
def app(views: Views) -> Flask:
    app = Flask(__name__)
    app.register_error_handler(ProblemError, lambda error: Response(error.problem.code, error.problem.status))
    register_views(app, views.routes)
    return app


def test_a_view_that_blocks_stops_no_other(views: Views, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "THREADS", 3)
    app = Flask(__name__)
    app.register_error_handler(ProblemError, lambda error: Response(error.problem.code, error.problem.status))
    register_views(app, views.routes)
    with serving(app) as url, ThreadPoolExecutor(3) as pool:
        urls = [f"{url}/blocks/{number}?x={number}" for number in range(3)]
        slow = [pool.submit(requests.get, each, timeout=LONG_SECONDS) for each in urls]
        wait_until(lambda: views.blocked == 3, LONG_SECONDS, "all of them block")
        assert requests.get(f"{url}/marked", timeout=LONG_SECONDS).text == "test-web"
        refused = requests.get(f"{url}/thread", timeout=LONG_SECONDS)
        assert (refused.status_code, refused.text) == (503, "too-many-in-flight")
        views.go_on.set()
        assert [each.result().text for each in slow] == ["0 0", "1 1", "2 2"]
        assert requests.get(f"{url}/thread", timeout=LONG_SECONDS).text.startswith("view")


def test_without_an_event_loop_a_view_runs_where_it_is_called(app: Flask) -> None:
    assert app.test_client().get("/thread").text == threading.current_thread().name
