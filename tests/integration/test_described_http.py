"""Front ends answer as their OpenAPI documents say: schemathesis reads these, and tries what they allow and forbid.

All its checks are on, with valid and invalid data, request by request and along the links from one to the next. What it
cannot know of our data is in `tests/support/schemathesis_hooks.py`. The catalog is compared twice: closed, with the
token of an account that may change it, and, in fewer phases, open to everyone. auth is compared with the token of an
administrator.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from support.access_tokens import Signer
from support.long_timeouts import use_long_timeouts
from support.serving import serving

import auth.main
import catalog.main
from auth.contract import GetJwks, LogIn, LogInAgain, SessionOver
from auth.domain.passwords import hash_password
from auth.tables import user
from bus.client.client import Client
from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.service.application import Application
from bus.service.service import Service
from bus.testing.fakes import fake_services
from bus.worker.worker import Worker
from catalog.handlers.service import CatalogSettings

START_SECONDS = 60.0
STOP_SECONDS = 10.0
# It takes 10 to 30; a machine that has much else to do takes longer.
RUN_SECONDS = 300.0
# For one answer, which may be late for the same reason.
ANSWER_SECONDS = 60
# Requests of each kind, for each operation; more find no more, and take longer. auth has twice as many operations that
# do something, and hashes for some of them.
EXAMPLES = {"auth": 8, "catalog": 20}
PHASES = ("examples", "coverage", "fuzzing", "stateful")
# The open catalog is the closed one but for requests without a token, and these two send every kind of request.
OPEN_PHASES = PHASES[:2]
# The administrator, whose id is none that is tried: its roles stay.
ADMIN = {"id": 2**40, "username": "boss", "email": "boss@example.org", "roles": "admin"}
# No example of the document, or the first DELETE /me would end its account.
PASSWORD = "another horse battery staple"
HOOKS = Path(__file__).parents[1] / "support" / "schemathesis_hooks.py"
# What schemathesis has to know of a service. A reservation stays readable after the DELETE that releases it.
CONFIGURATIONS = {
    "auth": "",
    "catalog": """
[[operations]]
include-path = "/reservations/{reservation_id}"
checks.use_after_free.enabled = false
""",
}
# What each run compares.
RUNS = {
    "auth": auth.main.application,
    "open catalog": catalog.main.application,
    "closed catalog": catalog.main.application,
}
SIGNER = Signer()


@dataclass
class FrontEnd:
    """The front end of a service that runs on a real broker and a real database.

    `name` is that of the service. `token` is sent with each request. With `is_open`, no operation asks for the token
    that its document names.
    """

    name: str
    url: str
    folder: Path
    operations: Sequence[type[Operation[Any]]]
    is_open: bool
    token: str

    @property
    def phases(self) -> Sequence[str]:
        """What schemathesis does, in this order."""
        return OPEN_PHASES if self.is_open else PHASES

    def compare(self) -> dict[str, Any]:
        """Let schemathesis compare it with its own document; returns the report. Fails when it finds something."""
        report, configuration = self.folder / "report.json", self.folder / "schemathesis.toml"
        configuration.write_text(CONFIGURATIONS[self.name])
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(configuration)),
            *("run", f"{self.url}/openapi.json"),
            *("--mode", "all", "--phases", ",".join(self.phases)),
            *("--max-examples", str(EXAMPLES[self.name]), "--seed", "1", "--generation-deterministic"),
            *("--request-timeout", str(ANSWER_SECONDS), "--suppress-health-check", "too_slow"),
            *("--report", "json", "--report-json-path", str(report)),
        ]
        if self.token:
            command += ["--header", f"Authorization: Bearer {self.token}"]
            # It would try without this header, which is then sent all the same. `ignored_auth` tries without a token.
            command += ["--exclude-checks", "missing_required_header"]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS), "IS_OPEN": str(int(self.is_open))}
        run = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )
        assert run.returncode == 0, run.stdout
        found: dict[str, Any] = json.loads(report.read_text())
        return found


@pytest.fixture(params=RUNS)
def front_end(
    request: pytest.FixtureRequest, broker_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FrontEnd]:
    use_long_timeouts(monkeypatch)  # an answer that is late is no answer to what was asked
    application: Application = RUNS[request.param]
    is_open, is_closed = request.param == "open catalog", request.param == "closed catalog"
    with ExitStack() as stack:
        if is_closed:
            monkeypatch.setattr(application.service, "settings", CatalogSettings(open=False))
            (tokens,) = fake_services({GetJwks: lambda _query: SIGNER.key_set})
            _work(stack, broker_url, tokens, f"sqlite:///{tmp_path}/tokens.db", None)
        _work(stack, broker_url, application.service, database_url, application.migrations)
        client = stack.enter_context(Client(broker_url, name="described"))
        url = stack.enter_context(serving(application.web(client)))
        token = SIGNER.token(scope="catalog:write") if is_closed else ""
        if request.param == "auth":
            token = _administrator(database_url, client)
        yield FrontEnd(application.name, url, tmp_path, application.operations, is_open, token)


def _administrator(database_url: str, client: Client) -> str:
    """Make an account with the role; returns its access token."""
    keys = {"username_key": ADMIN["username"], "email_key": ADMIN["email"], "password_hash": hash_password(PASSWORD)}
    database = Database(database_url)
    with database.transaction() as transaction:
        transaction.connection.execute(insert(user).values(ADMIN | keys))
    database.close()
    return client.call(LogIn(login="boss", password=PASSWORD), timeout=START_SECONDS).access_token


def _work(stack: ExitStack, broker_url: str, service: Service, database_url: str, migrations: str | None) -> None:
    database = Database(database_url)
    stack.callback(database.close)
    migrate(database, migrations)
    transport = transport_for(broker_url, service.name)
    worker = Worker(service, transport, database, connect=partial(Client, broker_url, name="calls"))
    worker.start()
    stack.callback(worker.stop, STOP_SECONDS)
    assert transport.wait_until_ready(START_SECONDS)


def test_a_front_end_answers_as_its_document_says(front_end: FrontEnd) -> None:
    report = front_end.compare()
    assert report["complete"]
    assert report["operations"]["tested"] == report["operations"]["total"] > 0
    done = {name: phase["status"] for name, phase in report["phases"].items()}
    assert done == dict.fromkeys(PHASES, "skip") | dict.fromkeys(front_end.phases, "success")
    assert report["test_cases"]["generated"] > 100
    # Where a password or the token of a mail is needed too, all that it sees is that strangers are refused.
    refused = {str(each.http) for each in front_end.operations if _asks(each)}
    assert set(report["warnings"].pop("missing_auth", ())) == refused
    assert not any(report["warnings"].values()), report["warnings"]


def _asks(operation: type[Operation[Any]]) -> bool:
    """Whether it asks for more than an access token, as a log-in does for a password."""
    of_sessions = (SessionOver, LogInAgain)
    return any(each.status in (401, 403) for each in operation.refusals.values() if each not in of_sessions)
