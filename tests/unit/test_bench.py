"""The benchmark, which no other test runs."""

from importlib import import_module
from pkgutil import walk_packages

import bench
from bench.figures import ListCost
from bench.report import text_of_lists

# The applications of the tutorial connect when they are imported.
NEED_SETTINGS = {"bench.tutorial.front", "bench.tutorial.products"}


def test_all_its_modules_can_be_imported() -> None:
    """They use parts of the library that may move."""
    names = {each.name for each in walk_packages(bench.__path__, "bench.")}
    assert names > NEED_SETTINGS
    for name in names - NEED_SETTINGS:
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
