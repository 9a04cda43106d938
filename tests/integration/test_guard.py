"""Access tokens on a real broker: over HTTP and straight to a queue, the worker lets in the same callers."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import true
from support import example_service
from support.access_tokens import Signer
from support.dead_letters import wait_for_letters
from support.example_service import KeepGuarded, Who, WhoAmI, create_tables, make_service, words_in
from support.plain_publisher import PlainPublisher

from bus.client.client import Client
from bus.contract.identity import GetServiceToken, JsonWebKeySet, ServiceToken
from bus.contract.operations import Command, Query
from bus.contract.operator.dead_letters import DeadLetterFilter
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.dead_letters.replay import send_next
from bus.dead_letters.taking import take
from bus.http import front_end
from bus.messaging.connect import connected, transport_for
from bus.messaging.publishing import publish_all
from bus.messaging.topology import Limits
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker

WAIT_SECONDS = 60.0
SIGNER = Signer()
SECRET = "geheim"


class GetJwks(Query[JsonWebKeySet], name="auth.get_jwks"):
    """Stands for the service that signs tokens."""


class IssueServiceToken(GetServiceToken, name="auth.issue_service_token"):
    """And gives services their own."""


class Ask(Command[Who], name="shop.ask", needs=""):
    """Asks the example who it is, and fails the first time."""


class System:
    """The example behind its front end, and a service that gives the keys of tokens while it runs."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self.url, self._folder, self._stack = url, folder, stack
        self.database = self._database("example")
        create_tables(self.database)
        self._start(make_service(), self.database)
        client = stack.enter_context(Client(url))
        self.http: FlaskClient = front_end("example", example_service, client).test_client()
        self.publisher = PlainPublisher(url)
        stack.callback(self.publisher.close)
        wait_until(lambda: self.http.get("/health/ready").status_code == 200, WAIT_SECONDS, "the service is ready")

    def start_token_service(self) -> None:
        service = Service("auth")

        @service.handles(GetJwks)
        def keys(query: GetJwks, work: Work) -> JsonWebKeySet:
            return SIGNER.key_set

        @service.handles(IssueServiceToken)
        def token(command: IssueServiceToken, work: Work) -> ServiceToken:
            assert command.client_secret == SECRET
            account = f"service:{command.client_id}"
            return ServiceToken(access_token=SIGNER.token(account, "words:write"), expires_in=600)

        self._start(service, self._database("auth"))

    def start_shop(self) -> None:
        shop = Service("shop", sends=[KeepGuarded])
        shop.client_secret = SECRET

        @shop.handles(Ask, calls=[WhoAmI])
        def ask(command: Ask, work: Work) -> Who:
            if work.attempt == 1:
                raise RuntimeError("the first try fails")
            who = work.call(WhoAmI())
            work.send(KeepGuarded(word=f"for {who.account}"))
            return who

        self._start(shop, self._database("shop"))

    def _database(self, name: str) -> Database:
        database = Database(f"sqlite:///{self._folder}/{name}.db")
        self._stack.callback(database.close)
        migrate(database, "catalog.migrations")
        return database

    def _start(self, service: Service, database: Database) -> None:
        transport = transport_for(self.url, service.name)
        connect = partial(Client, self.url, name=f"{service.name}-calls")
        worker = Worker(service, transport, database, Limits(retry_seconds=(1,)), connect=connect)
        worker.start()
        self._stack.callback(worker.stop, WAIT_SECONDS)
        assert transport.wait_until_ready(WAIT_SECONDS)


@pytest.fixture
def system(broker_url: str, tmp_path: Path) -> Iterator[System]:
    with ExitStack() as stack:
        yield System(broker_url, tmp_path, stack)


@pytest.fixture
def writer() -> str:
    """Made for each test: a token ends after ten minutes, and this module may be imported long before."""
    return SIGNER.token("17", "words:write")


@pytest.fixture
def reader() -> str:
    return SIGNER.token("18", "words:read")


def _over_http(system: System, word: str, token: str | None) -> tuple[int, str, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = system.http.post("/guarded", json={"word": word}, headers=headers)
    return response.status_code, response.headers.get("WWW-Authenticate", ""), response.get_data(as_text=True)


def _on_the_queue(system: System, word: str, token: str | None) -> tuple[int, str, str]:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = system.publisher.ask("example.keep_guarded", {"word": word}, headers=headers, delivery_mode=2)
    return answer.status, answer.properties.headers.get("www-authenticate", ""), answer.body.decode()


def test_the_same_callers_are_let_in_over_http_and_on_queues_and_their_commands_belong_to_them(
    system: System, writer: str, reader: str
) -> None:
    system.start_token_service()
    ways: list[Callable[[System, str, str | None], tuple[int, str, str]]] = [_over_http, _on_the_queue]
    for way in ways:
        codes = []
        for token in (None, "nonsense", reader):
            status, challenge, body = way(system, "no", token)
            codes.append((status, json.loads(body)["code"]))
            assert challenge.startswith('Bearer realm="errand"')
        assert codes == [(401, "token-required"), (401, "invalid-token"), (403, "insufficient-scope")]
        assert way(system, way.__name__, writer)[0] == 201
    assert words_in(system.database) == ["_over_http of 17", "_on_the_queue of 17"]

    me = system.http.get("/me", headers={"Authorization": f"bearer {writer}"})
    assert me.json == {"account": "17", "session": "s1", "scopes": ["words:write"]}
    # Two accounts may choose the same id, and each reads the outcome of its own command.
    for account in ("19", "20"):
        headers = {"Authorization": f"Bearer {SIGNER.token(account, 'words:write')}", "Idempotency-Key": "mine"}
        assert system.http.post("/guarded", json={"word": account}, headers=headers).status_code == 201
        outcome = system.http.get("/operations/mine", headers=headers).json
        assert outcome["reply"]["word"] == f"{account} of {account}"  # type: ignore[index]
    assert system.http.get("/operations/mine").json["state"] == "pending"  # type: ignore[index]


def test_a_command_waits_for_the_keys_and_is_retried_as_its_caller_with_no_token_readable(
    system: System, writer: str
) -> None:
    """It is kept while the service that signs tokens is away, then fails, and is tried again."""
    publisher = system.publisher
    publisher.send(
        "example.keep_guarded",
        {"word": "fail"},
        headers={"authorization": f"Bearer {writer}"},
        message_id="kept",
        reply_to=publisher.reply_queue,
    )
    assert publisher.answer().status == 202
    seen = _in_the_retry_queue(publisher)
    assert "authorization" in seen
    assert writer not in seen
    assert system.http.get("/me", headers={"Authorization": f"Bearer {writer}"}).json["code"] == "no-token-keys"  # type: ignore[index]
    system.start_token_service()
    assert publisher.answer().status == 201
    assert words_in(system.database) == ["fail of 17"]


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "sealed"])
def test_a_handler_calls_another_service_as_its_own_caller_and_sends_in_the_name_of_its_service(
    system: System, writer: str, is_plain: bool
) -> None:
    system.start_token_service()
    system.start_shop()
    with Client(system.url, seal=not is_plain) as client:
        assert client.call(Ask(), token=writer, timeout=WAIT_SECONDS) == Who(
            account="17", session="s1", scopes=["words:write"]
        )
    wait_until(lambda: words_in(system.database) == ["for 17 of service:shop"], WAIT_SECONDS, "what was sent is done")


def test_a_dead_letter_that_is_sent_again_is_the_command_of_the_same_account(system: System, writer: str) -> None:
    system.start_token_service()
    assert _on_the_queue(system, "fail, fail", writer)[0] == 500
    (letter,) = wait_for_letters(system.database, 1)
    with system.database.transaction() as transaction:
        chosen = DeadLetterFilter(ids=[letter.id], state="dead")
        action, _ = take(transaction.connection, "replay", "an operator", chosen, true(), 1, "")
    with connected(system.url, "test") as transport:
        sent = send_next(system.database, action, 10, lambda messages: publish_all(transport, messages, WAIT_SECONDS))
    assert (sent.sent, sent.left) == (1, 0)
    wait_until(lambda: words_in(system.database) == ["fail, fail of 17"], WAIT_SECONDS, "the replay")


def _in_the_retry_queue(publisher: PlainPublisher) -> str:
    """The headers of the copy that waits there, which is put back."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        method, properties, _ = publisher.channel.basic_get("example.retry.1s")
        if method is not None and properties is not None:
            publisher.channel.basic_reject(method.delivery_tag, requeue=True)
            return str(properties.headers)
    raise TimeoutError("nothing waits for a retry")
