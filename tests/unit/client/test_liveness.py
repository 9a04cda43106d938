"""Liveness: a silent service is noticed before a request is sent, at the cost of one ping for many callers."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus.client import liveness
from bus.client.liveness import PING_SECONDS, SILENCE_SECONDS, Liveness
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.testing.waiting import wait_until


class Service:
    """A service that answers, or does what `answer` does, and counts its pings."""

    def __init__(self) -> None:
        self.pings: list[tuple[str, float]] = []
        self.answer: Callable[[], None] = lambda: None

    def ping(self, name: str, seconds: float) -> None:
        self.pings.append((name, seconds))
        self.answer()

    def is_silent(self) -> None:
        def late() -> None:
            raise ReplyTimeout("shop.ping", "id", PING_SECONDS)

        self.answer = late


class Clock:
    """Time that passes only when `now` is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(liveness, "time", clock)
    return clock


def test_an_unknown_service_is_pinged_once(clock: Clock) -> None:
    service = Service()
    known = Liveness(service.ping)
    known.check("shop", 5)
    known.check("shop", 5)
    assert service.pings == [("shop", PING_SECONDS)]


def test_a_ping_takes_no_longer_than_the_caller_waits(clock: Clock) -> None:
    service = Service()
    Liveness(service.ping).check("shop", 0.1)
    assert service.pings == [("shop", 0.1)]


def test_a_service_that_has_just_replied_is_not_pinged(clock: Clock) -> None:
    service = Service()
    known = Liveness(service.ping)
    known.heard_at["shop"] = clock.now
    clock.now += liveness.FRESH_SECONDS * 0.9
    known.check("shop", 5)
    assert service.pings == []
    clock.now += liveness.FRESH_SECONDS * 0.2
    known.check("shop", 5)
    assert len(service.pings) == 1


def test_silence_raises_unavailable_with_the_services_name(clock: Clock) -> None:
    service = Service()
    service.is_silent()
    with pytest.raises(Unavailable) as unavailable:
        Liveness(service.ping).check("shop", 5)
    assert unavailable.value.problem.code == "no-worker"
    assert "shop" in unavailable.value.problem.detail


def test_a_silent_service_is_not_pinged_again_at_once(clock: Clock) -> None:
    service = Service()
    service.is_silent()
    known = Liveness(service.ping)
    for _ in range(3):
        with pytest.raises(Unavailable):
            known.check("shop", 5)
    assert len(service.pings) == 1
    clock.now += liveness.SILENCE_SECONDS * 1.1
    service.answer = lambda: None
    known.check("shop", 5)
    assert len(service.pings) == 2


def test_the_callers_error_has_the_code_of_the_pings_error(clock: Clock) -> None:
    service = Service()

    def full() -> None:
        raise Unavailable("queue-full", "Full.")

    service.answer = full
    with pytest.raises(Unavailable) as unavailable:
        Liveness(service.ping).check("shop", 5)
    assert unavailable.value.problem.code == "queue-full"


def test_one_silent_service_does_not_affect_another(clock: Clock) -> None:
    service = Service()
    service.is_silent()
    known = Liveness(service.ping)
    with pytest.raises(Unavailable):
        known.check("shop", 5)
    service.answer = lambda: None
    known.check("bank", 5)
    assert [name for name, _ in service.pings] == ["shop", "bank"]


@pytest.mark.parametrize("silent", [False, True])
def test_many_callers_at_once_cost_one_ping(silent: bool, clock: Clock) -> None:
    service, asking = Service(), list[int]()
    if silent:
        service.is_silent()

    def ping(name: str, seconds: float) -> None:
        wait_until(lambda: len(asking) == 20, 30, "all callers ask")
        service.ping(name, seconds)

    known = Liveness(ping)

    def check(caller: int) -> bool:
        asking.append(caller)
        try:
            known.check("shop", 5)
        except Unavailable:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(check, range(20))) == [not silent] * 20
    assert len(service.pings) == 1


def test_the_error_of_a_silent_service_keeps_no_objects_of_its_callers(clock: Clock) -> None:
    service = Service()
    service.is_silent()
    known = Liveness(service.ping)
    requests: list[weakref.ref[Service]] = []

    def ask() -> None:
        request = Service()  # anything large that a caller holds
        requests.append(weakref.ref(request))
        with pytest.raises(Unavailable):
            known.check("shop", 5)

    for _ in range(3):
        ask()
        clock.now += SILENCE_SECONDS / 2
    gc.collect()
    assert [each() for each in requests] == [None, None, None]
