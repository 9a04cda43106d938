"""The way of one request is short enough to be read: it enters few functions in few files.

What is counted is every function of ours that one warm `POST /products` enters on the embedded broker, in the front
end and in the worker, as `bus run` runs them. Comprehensions are part of their function. What runs beside the messages
is left out: it comes when its time comes.
"""

import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest
from flask.testing import FlaskClient

import bus
from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.telemetry.metrics import Metrics
from bus.worker.worker import Worker
from catalog.main import application as catalog

ROOT = Path(bus.__file__ or "").parents[1]
# Of the library, which every request of every service passes; and of what the catalog does with a new product: its
# fields, words, event and history.
MOST = {"bus": (100, 30), "catalog": (28, 10)}
# The ends of the names of the threads that run beside the messages.
BESIDE = ("-relay", "-watchdog", "-retention", "-gauges", "-heartbeat", "-every")
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 1}
STOP_SECONDS = 30.0
# The acknowledgement follows the reply; nothing else is on its way then.
SETTLE_SECONDS = 1.0


class Count:
    """The functions of ours that are entered while `is_counting`, in all threads that start after `install`."""

    def __init__(self) -> None:
        self.is_counting = False
        self._entered: set[CodeType] = set()

    def install(self) -> None:
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def remove(self) -> None:
        threading.setprofile(None)
        sys.setprofile(None)

    @property
    def functions(self) -> set[tuple[str, str]]:
        """File and name of each."""
        return {(code.co_filename.removeprefix(f"{ROOT}/"), code.co_qualname) for code in self._entered}

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        is_on_the_way = self.is_counting and not threading.current_thread().name.endswith(BESIDE)
        if is_on_the_way and event == "call" and self._is_ours(frame.f_code):
            self._entered.add(frame.f_code)

    def _is_ours(self, code: CodeType) -> bool:
        is_here = code.co_filename.startswith((f"{ROOT}/bus/", f"{ROOT}/catalog/"))
        return is_here and (not code.co_name.startswith("<") or code.co_name == "<lambda>")


@pytest.fixture
def count() -> Iterator[Count]:
    count = Count()
    count.install()
    yield count
    count.remove()


@pytest.fixture(params=["at once", "late"])
def front_end(
    request: pytest.FixtureRequest, count: Count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FlaskClient]:
    """A front end with its worker behind it, started after the count was installed.

    "late" is one whose first request comes after the time that a new client is given to connect.
    """
    if request.param == "late":
        monkeypatch.setattr("bus.client.client.CONNECT_SECONDS", 0.0)
    url, metrics = f"memory://{uuid.uuid4().hex}", Metrics()
    database = Database(f"sqlite:///{tmp_path}/catalog.db")
    migrate(database, catalog.migrations)
    with database.reading() as first, database.reading() as second, database.reading() as third:
        for each in (first, second, third):  # opened before, whoever reads beside the messages
            assert each.connection
    worker = Worker(catalog.service, transport_for(url, "catalog-worker"), database, metrics=metrics)
    worker.start()
    with Client(url, name="web", metrics=metrics) as client:
        application = catalog.web(client)
        yield application.test_client()  # type: ignore[attr-defined]
    worker.stop(STOP_SECONDS)
    database.close()


def test_a_warm_post_enters_few_functions_in_few_files(count: Count, front_end: FlaskClient) -> None:
    for is_last in (False, False, True):
        count.is_counting = is_last
        assert front_end.post("/products", json=LAMP).status_code == 201
        time.sleep(SETTLE_SECONDS / 10)
    count.is_counting = False
    functions = sorted(count.functions)
    files = {file for file, _ in functions}
    for package, (most_functions, most_files) in MOST.items():
        entered = [each for each in functions if each[0].startswith(f"{package}/")]
        places = {file for file, _ in entered}
        listed = "\n".join(f"{file} {name}" for file, name in entered)
        shown = f"{len(entered)} functions of {package} in {len(places)} files:\n{listed}"
        assert len(entered) <= most_functions, shown
        assert len(places) <= most_files, shown
    # Both ends are there, or the count counts something else.
    assert {"bus/http/relaying.py", "bus/worker/requests.py", "bus/database/inbox.py"} <= files
    assert any(file.startswith("catalog/") and name == "create_product" for file, name in functions)
