"""The benchmark, which no other test runs."""

from importlib import import_module
from pkgutil import iter_modules

import bench
from bench.figures import ListCost
from bench.report import text_of_lists


def test_all_its_modules_can_be_imported() -> None:
    """They use parts of the library that may move."""
    names = [each.name for each in iter_modules(bench.__path__, "bench.")]
    assert "bench.lists" in names
    for name in names:
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
