"""The benchmark, which no other test runs."""

from importlib import import_module
from pkgutil import walk_packages

import bench
from bench.bulk import LOADS
from bench.figures import Bulk, Figures, ListCost, Measurement
from bench.names import ERRAND, KEEP_ALIVE, ONE_BY_ONE, PEERS, REFUSED, REPEATED, SEEN, TUTORIAL
from bench.report import text_of_bulks, text_of_lists, text_of_scenario

# The applications of the tutorial connect when they are imported, and those of the peers need packages of their own.
NEED_MORE = {"bench.tutorial.front", "bench.tutorial.products"}
OF_PEERS = tuple(f"bench.peers.{name}." for name in PEERS)


def test_all_its_modules_can_be_imported() -> None:
    """They use parts of the library that may move."""
    names = {each.name for each in walk_packages(bench.__path__, "bench.")}
    assert names > NEED_MORE
    assert len([name for name in names if name.startswith(OF_PEERS)]) == 2 * len(PEERS)
    for name in names - NEED_MORE:
        if not name.startswith(OF_PEERS):
            import_module(name)


def test_the_cost_of_a_list_is_compared_with_the_first_page_and_with_few_products() -> None:
    reads = {"get": (1.0, 1.1), "first page": (2.0, 3.0), "q": (1.0, 9.0), "tag": (1.0, 9.1)}
    costs = [ListCost("sqlite", n, read, each[n > 1]) for read, each in reads.items() for n in (1, 1000)]
    rows = {line.split("  ")[0]: line.split() for line in text_of_lists(costs).splitlines()[1:]}
    assert {name: row[-3:] for name, row in rows.items()} == {
        "get": ["1.10", "0.37", "met"],
        "first page": ["1.00", "not", "met"],
        "q": ["9.00", "3.00", "met"],
        "tag": ["3.03", "not", "met"],
    }


def test_each_peer_is_compared_round_by_round() -> None:
    """A busy moment meets both, so ratios are made within a round."""
    rates = {ERRAND: (400, 40), SEEN: (360, 36), TUTORIAL: (100, 10), KEEP_ALIVE: (100, 10)}
    rates |= {"nameko": (100, 10), "celery": (101, 10.1)}
    cpu = {"nameko": 0.4, "celery": 0.2}
    rounds = [
        Measurement(number, name, "get", rate, 1.0, 2.0, 0, *([cpu.get(name, 0.1)] * 4))
        for name, both in rates.items()
        for number, rate in enumerate(both)
    ]
    lines = text_of_scenario(Figures("", measurements=rounds), "get").splitlines()
    assert [line for line in lines if "nameko" in line or "celery" in line][-4:] == [
        "against nameko: 4.00 times the req/s, 1.00 times the p99, 0.25 times the CPU",
        "against celery: 3.96 times the req/s, 1.00 times the p99, 0.50 times the CPU",
        "target: at least 4 times the req/s of nameko: met",
        "target: at least 4 times the req/s of celery: not met",
    ]


def test_what_odd_commands_cost_is_compared_round_by_round() -> None:
    speeds = {ONE_BY_ONE: (3000, 300), REPEATED: (2700, 270), REFUSED: (2670, 267)}
    bulks = [
        Bulk(number, load, speed, 900 / speed, 0.0, 0.0)
        for load, both in speeds.items()
        for number, speed in enumerate(both)
    ]
    assert text_of_bulks(bulks).splitlines()[-2:] == [
        "target: 1 in 100 a duplicate, at least 0.9 of the rate: 0.90, met (1.11 times the CPU)",
        "target: 1 in 100 refused, at least 0.9 of the rate: 0.89, not met (1.12 times the CPU)",
    ]


def test_one_in_a_hundred_commands_is_odd() -> None:
    loads = {load.name: load for load in LOADS}
    numbers = [loads[REPEATED].number_of(place) for place in range(3000)]
    assert len(numbers) - len(set(numbers)) == 21  # the first nine of thirty have nothing to repeat
    refused = [number for number in range(1000) if b"S-1" in loads[REFUSED].body(number)]
    assert len(refused) == 10
    usual = loads[ONE_BY_ONE]
    assert [usual.number_of(place) for place in range(3000)] == list(range(3000))
    assert not any(b"S-1" in usual.body(number) for number in range(1000))
