"""Findings: clocks that certainly differ, and services that a handler calls and that are not there."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.example_service import Keep

from bus.messaging.transport import QueueCounts
from bus.runtime.doctor.broker import call_findings
from bus.runtime.doctor.databases import database_findings
from bus.runtime.doctor.findings import clock_finding
from bus.service.handler import Handler
from bus.service.service import Service
from catalog.contract import CreateProduct, GetProduct
from catalog.main import application

BEFORE = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
AFTER = BEFORE + timedelta(seconds=3)


def _state(seconds_after_before: float) -> tuple[str, str]:
    finding = clock_finding("worker", "catalog", BEFORE + timedelta(seconds=seconds_after_before), BEFORE, AFTER)
    return finding.state, finding.detail


@pytest.mark.parametrize("seconds", [-1, -0.5, 0, 1.5, 3, 4])
def test_a_clock_that_may_be_within_a_second_of_ours_is_right(seconds: float) -> None:
    assert _state(seconds)[0] == "ok"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-1.2, "1.2 s behind"), (4.5, "1.5 s ahead of"), (3603, "3600.0 s ahead")]
)
def test_a_clock_that_is_certainly_more_than_a_second_off_is_reported_with_its_side(
    seconds: float, expected: str
) -> None:
    state, detail = _state(seconds)
    assert state == "wrong"
    assert expected in detail


class _Counted:
    """Stands for an inspection that has found these queues."""

    def __init__(self, **consumers: int) -> None:
        self._consumers = consumers

    def counts(self, name: str) -> QueueCounts | None:
        consumers = self._consumers.get(name.partition(".")[2])
        return None if consumers is None else QueueCounts(0, consumers)


@pytest.mark.parametrize(
    ("consumers", "away"),
    [
        ({"create_product": 1, "get_product": 2}, ""),
        ({"create_product": 0, "get_product": 2}, "catalog.create_product"),
        ({"get_product": 2}, "catalog.create_product"),
        ({}, "catalog.create_product, catalog.get_product"),
    ],
)
def test_a_service_that_is_called_has_to_be_there(consumers: dict[str, int], away: str) -> None:
    handlers = [Handler("shop", Keep, print, calls=(CreateProduct, GetProduct))]
    (finding,) = call_findings(_Counted(**consumers), "shop", handlers)  # type: ignore[arg-type]
    assert (finding.service, finding.state) == ("shop", "wrong" if away else "ok")
    if away:
        assert finding.detail == f"its handlers call {away}, which no worker carries out. Start `bus worker catalog`."


def test_what_is_sent_is_named_apart_from_what_is_called() -> None:
    service = Service("shop", sends=[CreateProduct])
    handlers = [*service.handlers.values(), Handler("shop", Keep, print, calls=(CreateProduct, GetProduct))]
    found = call_findings(_Counted(create_product=1, get_product=1), "shop", handlers)  # type: ignore[arg-type]
    assert [finding.detail for finding in found] == [
        "its handlers call catalog.create_product, catalog.get_product: a worker is there",
        "its handlers send catalog.create_product: a worker is there",
    ]


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (finding,) = database_findings(application, "sqlite:///data/catalog.db")
    assert finding.detail.startswith(f"{tmp_path}/data/catalog.db does not exist.")
