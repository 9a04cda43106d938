"""The programs that publish, run by the interpreters of their languages against a real broker."""

import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pika
import pytest
from support.published_programs import ProgramFolder

from bus.contract.operations import Command, Query, Reply
from bus.contract.problems import Problem
from bus.http.pages.programs import LANGUAGES, publishers_of

KEYS = [each.key for each in LANGUAGES]
# `bus call` knows the operations of installed services alone, so it is tried where those are.
WITH_A_CLIENT = [key for key in KEYS if key != "bus"]
WITH_CONFIRMS = [key for key in WITH_A_CLIENT if key != "shell"]

START_SECONDS = 30.0
# Programs at the same time. More would make each slower, and each waits no longer than five seconds for its answer.
TOGETHER = 2

ODD_TEXTS = [
    "\"double\" and 'single' and `back` quotes",
    r"C:\new\table \u0041 \\ \x41 \$ \' \" \`",
    "$HOME ${HOME} $(id) `id` !! %s %d {{ x }} {% x %} {x} #{x}",
    "line\nbreak\r\nand\ttab\x00\x7f\x85",
    "grüße 日本語 😀 \u2028\u2029\ufeff\u202e\U000e0041",
    "</script><!-- &amp; <b>",
    "'''",
    '"""',
    "*/ // -- # \\",
    "",
]
ODD = {
    "text": ODD_TEXTS[0],
    "more": {"texts": ODD_TEXTS, "quo\"te'`$\\": [], "empty": {}},
    "price": Decimal("9.90"),
    "numbers": [0, -7, 2**53 - 1, 0.5],
    "yes": True,
    "no": False,
    "nothing": None,
}


class Said(Reply):
    """What was said."""


class Say(Command[Said], name="odd.say", status=201):
    """Say anything."""

    text: str


class Ask(Query[Said], name="odd.ask"):
    """Ask anything."""

    text: str


@dataclass
class Answerer:
    """Stands for a worker: notes what comes, and answers it with this status and body, or not at all."""

    url: str
    status: int | None
    body: bytes = b'{"said":"yes\\n"}'
    got: list[tuple[pika.BasicProperties, bytes]] = field(default_factory=list)

    def __enter__(self) -> "Answerer":
        self._ready, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        assert self._ready.wait(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(START_SECONDS)

    def _answer(self) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = connection.channel()
        for operation in (Say, Ask):
            channel.queue_declare(operation.operation_name, durable=True)
            channel.basic_consume(operation.operation_name, self._take, auto_ack=True)
        self._ready.set()
        while not self._ending.is_set():
            connection.process_data_events(0.05)
        connection.close()

    def _take(self, channel: Any, _: Any, properties: pika.BasicProperties, body: bytes) -> None:
        self.got.append((properties, body))
        if self.status is None:
            return
        reply = pika.BasicProperties(correlation_id=properties.correlation_id, headers={"status": self.status})
        channel.basic_publish("", properties.reply_to, self.body, reply)


@pytest.fixture(scope="module")
def program_folder(tmp_path_factory: pytest.TempPathFactory) -> ProgramFolder:
    return ProgramFolder(tmp_path_factory.mktemp("programs"))


def _programs(operation: type[Say] | type[Ask], fields: dict[str, object]) -> dict[str, str]:
    return {publisher.language.key: publisher.text for publisher in publishers_of(operation, fields)}


def _run_all(
    program_folder: ProgramFolder, keys: list[str], url: str, **fields: object
) -> dict[str, CompletedProcess[str]]:
    programs = _programs(Say, fields)
    with ThreadPoolExecutor(TOGETHER) as pool:
        runs = {key: pool.submit(program_folder.run, key, programs[key], url) for key in keys}
        return {key: run.result() for key, run in runs.items()}


def test_any_value_arrives_as_it_is_from_every_language(program_folder: ProgramFolder, broker_url: str) -> None:
    with Answerer(broker_url, 201) as answerer:
        for key, run in _run_all(program_folder, WITH_A_CLIENT, broker_url, **ODD).items():
            assert (run.returncode, run.stdout) == (0, '201 {"said":"yes\\n"}\n'), f"{key}: {run.stderr}"
    assert len(answerer.got) == len(WITH_A_CLIENT)
    for _, body in answerer.got:
        assert json.loads(body) == json.loads(msgspec.json.Encoder(decimal_format="number").encode(ODD))


def test_any_value_comes_to_bus_call_as_it_is(program_folder: ProgramFolder, tmp_path: Path) -> None:
    stand_in = tmp_path / "bus"
    stand_in.write_text('#!/bin/sh\nfor last; do :; done\nprintf %s "$last"\n')
    stand_in.chmod(stat.S_IRWXU)
    run = program_folder.run("bus", _programs(Say, ODD)["bus"], "amqp://nowhere", path=str(tmp_path))
    assert json.loads(run.stdout) == json.loads(msgspec.json.Encoder(decimal_format="number").encode(ODD))


@pytest.mark.parametrize("operation", [Say, Ask])
def test_a_request_says_what_the_wire_document_asks_for(
    program_folder: ProgramFolder, broker_url: str, operation: type[Say] | type[Ask]
) -> None:
    programs = _programs(operation, {"text": "hello"})
    with Answerer(broker_url, operation.success_status) as answerer:
        for key in WITH_A_CLIENT:
            run = program_folder.run(key, programs[key], broker_url)
            assert run.returncode == 0, run.stderr
            properties, _ = answerer.got[-1]
            assert properties.content_type == "application/json"
            if key == "shell":  # its tools can say no more
                continue
            assert properties.delivery_mode in ((2,) if operation.is_durable else (None, 0, 1))
            assert (properties.message_id is not None) == operation.is_durable
            assert properties.expiration == (None if operation.is_durable else "5000")
    ids = [properties.message_id for properties, _ in answerer.got if properties.message_id]
    assert len(set(ids)) == len(ids)


def test_a_problem_and_silence_and_no_queue_end_a_program_with_another_code_than_0(
    program_folder: ProgramFolder, broker_url: str
) -> None:
    problem = msgspec.json.encode(Problem.of("odd.no", 409, "No", "No."))
    for key, run in _run_all(program_folder, WITH_CONFIRMS, broker_url, text="to no queue").items():
        assert run.returncode != 0, key
        assert "odd.say" in run.stderr, f"{key}: {run.stderr}"
    with Answerer(broker_url, 409, problem):
        for key, run in _run_all(program_folder, WITH_A_CLIENT, broker_url, text="refused").items():
            assert run.returncode != 0, key
            assert '"status":409' in run.stdout, f"{key}: {run.stderr}"
    with Answerer(broker_url, None) as silent:
        for key, run in _run_all(program_folder, WITH_A_CLIENT, broker_url, text="to nobody").items():
            assert run.returncode != 0, key
            assert "no answer in 5 s" in run.stderr, f"{key}: {run.stderr}"
    assert len(silent.got) == len(WITH_A_CLIENT)


def test_the_shell_leaves_no_queue_behind(program_folder: ProgramFolder, broker_url: str) -> None:
    with Answerer(broker_url, 201) as answerer:
        program_folder.run("shell", _programs(Say, {"text": "hello"})["shell"], broker_url)
    (properties, _), connection = answerer.got[0], pika.BlockingConnection(pika.URLParameters(broker_url))
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        connection.channel().queue_declare(properties.reply_to, passive=True)
    connection.close()
