"""The guide to a service."""

import json

from feed import contract as feed

import auth.contract
import catalog.contract
from bus.contract.events import events_in
from bus.contract.operations import operations_in
from bus.contract.validation import decode
from bus.http.pages.guide import guide_to


def test_a_guide_has_every_operation_and_event_of_the_contract() -> None:
    guide = guide_to("catalog", catalog.contract)
    assert [each.name for each in guide.operations] == [each.operation_name for each in operations_in(catalog.contract)]
    assert [each.name for each in guide.events] == [each.operation_name for each in events_in(catalog.contract)]


def test_only_a_service_that_takes_secrets_or_tokens_has_a_sealing_key() -> None:
    common = {name: [each.name for each in guide_to(name, contract).common] for name, contract in CONTRACTS.items()}
    assert common == {
        "auth": ["auth.ping", "auth.get_outcome", "auth.get_sealing_key"],
        "catalog": ["catalog.ping", "catalog.get_outcome", "catalog.get_sealing_key"],
    }
    assert [each.name for each in guide_to("feed", feed).common] == ["feed.ping", "feed.get_outcome"]


def test_an_operation_says_whom_it_lets_in() -> None:
    needs = {each.name: each.needs for each in guide_to("catalog", catalog.contract).operations}
    assert (
        needs["catalog.create_product"]
        == "an access token with the scope catalog:write (unless the service is open to everyone)"
    )
    assert needs["catalog.get_product"] == ""


CONTRACTS = {"auth": auth.contract, "catalog": catalog.contract}


def test_the_example_of_a_request_is_acceptable() -> None:
    for name, contract in CONTRACTS.items():
        guide = guide_to(name, contract)
        for each, operation in zip(guide.operations, operations_in(contract), strict=True):
            assert decode(each.example.encode(), operation), each.name


def test_an_operation_says_what_it_refuses_and_what_is_secret() -> None:
    register = guide_to("auth", auth.contract).operations[0]
    assert [(each.status, each.code) for each in register.refusals] == [
        (409, "auth.username_taken"),
        (409, "auth.email_taken"),
        (422, "auth.special_domain"),
        (429, "auth.too_many_tries"),
    ]
    assert register.secrets == ("password",)
    assert "easily guessed" in register.more
    assert register.status == 201
    assert json.loads(register.reply_example)["message"] == "User registered successfully"


def test_the_route_over_http_is_shown() -> None:
    routes = {each.name: each.route for each in guide_to("catalog", catalog.contract).operations}
    assert routes["catalog.update_product"] == "PUT /products/{product_id}"
