"""What a hostile program with the broker's credentials can and cannot do: the attacks behind docs/security.md.

Each is done with plain pika on a real broker, against workers with a PostgreSQL database.
"""

import struct
from collections.abc import Iterator

import pytest
from support.dead_letters import wait_for_letters
from support.plain_publisher import PlainPublisher
from support.worker_threads import System, can_create_product

from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.dead_letters.queries import why_not
from catalog.handlers import catalog

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
# A header whose name is no text, beside one whose name is: Python cannot sort the two.
UNSORTABLE = b"\x02\xff\xfet\x01\x01ab\x01"
STRANGE = {
    "a name that is no text": UNSORTABLE,
    "tables and lists in each other": b"\x02\xff\xfeA\x00\x00\x00\x0aF\x00\x00\x00\x04\x01\xfet\x01V",
    "a time beyond any calendar": b"\x01tT" + struct.pack(">Q", 2**62),
    "a number that no column holds": b"\x08attemptsl" + struct.pack(">q", 2**63 - 1),
    "NUL": b"\x06reasonS\x00\x00\x00\x03a\x00b",
    "a long text": b"\x06reasonS" + struct.pack(">I", 100_000) + b"x" * 100_000,
}


@pytest.fixture
def system(broker_url: str, database_url: str) -> Iterator[System]:
    with System(broker_url) as system:
        database = Database(database_url)
        migrate(database, "catalog.migrations")
        system.start(catalog, database)
        yield system


@pytest.fixture
def publisher(broker_url: str) -> Iterator[PlainPublisher]:
    publisher = PlainPublisher(broker_url)
    yield publisher
    publisher.close()


def test_no_header_ends_a_worker(system: System, publisher: PlainPublisher) -> None:
    """Published to the dead letters directly, and brought there by the broker with its own headers added."""
    for headers in STRANGE.values():
        publisher.send_forged("catalog.dead", LAMP, headers, message_id="\x00\ud7ff", type="\x00")
        publisher.send_forged("catalog.create_product", LAMP, headers, expiration="0", message_id="expired")
    letters = wait_for_letters(system.databases["catalog"], len(STRANGE))
    assert {letter.reason for letter in letters} <= {"unknown", "expired"}
    assert can_create_product(publisher)


def test_a_forged_dead_letter_decides_nothing(system: System, publisher: PlainPublisher) -> None:
    database = system.databases["catalog"]
    stolen = publisher.channel.queue_declare("other.events", exclusive=True).method.queue
    for headers in (
        {"letter-id": "a" * 32, "origin-queue": stolen, "reason": "fault", "detail": "Replay me."},
        {"letter-id": "b" * 32, "origin-queue": "catalog.delete_product", "reason": "fault"},
        {"x-death": [{"queue": stolen, "reason": "expired", "count": 1}], "origin-queue": stolen},
    ):
        publisher.send("catalog.dead", LAMP, message_id="order-4711", type="other.happened", headers=headers)
    letters = wait_for_letters(database, 3)
    assert not {letter.letter_id for letter in letters} & {"a" * 32, "b" * 32}
    assert [letter.reason for letter in letters[:2]] == ["unknown", "unknown"]
    assert all(why_not(letter, catalog.operations) for letter in letters), "an operator could replay it"
    outcome = publisher.call("catalog.get_outcome", message_id="order-4711")
    assert outcome["state"] == "pending"
    assert publisher.take(stolen) is None


def test_a_workers_own_dead_letter_is_believed(system: System, publisher: PlainPublisher) -> None:
    publisher.send("catalog.create_product", b"{", message_id="order-1")
    (letter,) = wait_for_letters(system.databases["catalog"], 1)
    assert (letter.reason, letter.operation) == ("malformed-json", "catalog.create_product")
    assert publisher.call("catalog.get_outcome", message_id="order-1")["state"] == "dead"


def test_a_forged_death_changes_what_is_pending_and_nothing_that_was_done(
    system: System, publisher: PlainPublisher
) -> None:
    assert publisher.ask("catalog.create_product", LAMP, message_id="done").status == 201
    for message_id in ("pending", "done"):
        headers = {"x-death": [{"queue": "catalog.create_product", "reason": "expired", "count": 1}]}
        publisher.send("catalog.dead", LAMP, message_id=message_id, headers=headers)
    wait_for_letters(system.databases["catalog"], 2)
    states = [publisher.call("catalog.get_outcome", message_id=each)["state"] for each in ("pending", "done")]
    assert states == ["dead", "done"]
