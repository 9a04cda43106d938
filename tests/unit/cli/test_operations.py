"""`bus operations`: what can be called, where, and what the handlers need of other services."""

import json

import pytest
from click.testing import CliRunner
from orders.main import application

from bus.cli.entry_point import bus


@pytest.fixture(autouse=True)
def _only_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.cli.operations.chosen_applications", lambda _names: [application])


def test_a_line_has_fields_route_and_what_is_called_or_sent() -> None:
    lines = CliRunner().invoke(bus, ["operations"], catch_exceptions=False).output.splitlines()
    by_name = {line.split()[0]: line for line in lines}
    assert by_name["orders.cancel_order"].endswith(
        " order_id  POST /orders/{order_id}/cancel  (calls catalog.commit_reservation)"
    )
    assert by_name["orders.get_order"].endswith(" order_id  GET /orders/{order_id}")
    assert by_name["orders.send"].endswith(" operation body  (sends catalog.change_stock, catalog.commit_reservation)")
    assert by_name["orders.ping"].endswith(" query     ")
    assert "orders.get_state" not in by_name
    assert "orders.get_state" in CliRunner().invoke(bus, ["operations", "--operators"]).output


def test_json_has_the_same() -> None:
    printed = CliRunner().invoke(bus, ["operations", "--json"], catch_exceptions=False).output
    by_name = {each["name"]: each for each in json.loads(printed)}
    assert by_name["orders.get_order"]["http"] == "GET /orders/{order_id}"
    cancel, send = by_name["orders.cancel_order"], by_name["orders.send"]
    assert (cancel["calls"], cancel["sends"]) == (["catalog.commit_reservation"], [])
    assert (send["http"], send["calls"], len(send["sends"])) == (None, [], 2)


def test_a_topology_that_was_compared_in_part_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = "the management API at rabbit:15672 cannot be reached: Connection refused"
    monkeypatch.setenv("BUS_URL", "amqp://rabbit/")
    monkeypatch.setattr("bus.messaging.rabbitmq.differences", lambda *_: ([], unseen))
    ran = CliRunner().invoke(bus, ["topology", "--check"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert ran.stderr == f"Bindings and policies were not compared: {unseen}.\n"
    assert ran.stdout.endswith("queues are as declared.\n")
