"""Operations: a mistake in a declaration is a TypeError when the module is imported."""

import types
from typing import Any

import pytest
from support.example_service import Grant

from bus.contract.names import is_reply_address
from bus.contract.operations import Command, Query, Reply, operations_in, service_of
from bus.contract.refusals import Refusal
from bus.messaging.topology import queues_of
from catalog import contract
from catalog.contract import CreateProduct, GetProduct, ProductCreated, ProductNotFound


class Done(Reply):
    done: bool


BAD_NAMES = [
    "create",
    "catalog.",
    ".create",
    "catalog.create.product",
    "Catalog.create",
    "catalog.createProduct",
    "catalog.create-product",
    "catalog.create product",
    "catalog create",
    "1catalog.create",
    "catalog.1create",
    "catalog._create",
    "catalog.créer",
    "catalog.create\n",
    "catalog/create",
    "amq.gen-x",
]
REPLY_NAMES = [
    "reply.create",
    "catalog.reply",
    "catalog.get_reply",
    "catalog.reply_to",
    "catalog.replies",
    "replies.list",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_operation_name_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match="is not an operation name such as"):
        _declare(Command[Done], name)


@pytest.mark.parametrize("scopes", [{"colour": "shelf:all"}, {"hidden": ""}, {"hidden": "two words"}])
def test_a_scope_for_fields_needs_a_field_and_a_scope(scopes: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="is not one of its fields and a scope"):

        class Look(Query[Done], name="shelf.look", needs_for=scopes):
            hidden: bool = False


def test_what_needs_a_scope_for_all_its_fields_needs_none_for_some() -> None:
    with pytest.raises(TypeError, match="so `needs_for` adds nothing"):

        class Look(Query[Done], name="shelf.look", needs="", needs_for={"hidden": "shelf:all"}):
            hidden: bool = False


@pytest.mark.parametrize("name", REPLY_NAMES)
def test_a_name_that_could_be_taken_for_a_reply_queue_is_a_type_error(name: str) -> None:
    assert is_reply_address(name)
    with pytest.raises(TypeError, match="is not an operation name"):
        _declare(Query[Done], name)


@pytest.mark.parametrize("name", ["catalog.replay", "catalog.apply", "a.b", "catalog2.get_2", "catalog.replying"])
def test_other_words_are_names(name: str) -> None:
    declared = _declare(Query[Done], name)
    assert declared.operation_name == name
    assert not is_reply_address(name)


@pytest.mark.parametrize("base", [Command, Query])
def test_an_operation_that_names_no_reply_is_a_type_error(base: Any) -> None:
    with pytest.raises(TypeError, match="name the class of its reply"):
        _declare(base, "catalog.create")


def test_a_reply_that_is_none_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="name the class of its reply"):
        _declare(Command[int], "catalog.create")  # type: ignore[type-var]


def test_a_declared_operation_knows_its_name_reply_status_and_kind() -> None:
    assert CreateProduct.operation_name == "catalog.create_product"
    assert CreateProduct.reply_type is ProductCreated
    assert (CreateProduct.success_status, GetProduct.success_status) == (201, 200)
    assert (CreateProduct.is_durable, GetProduct.is_durable) == (True, False)
    kinds = [operation.operation_kind for operation in (CreateProduct, Grant, GetProduct)]
    assert kinds == ["command", "transient", "query"]
    assert GetProduct.refusals == {"catalog.product_not_found": ProductNotFound}
    assert service_of(CreateProduct) == "catalog"


def test_a_request_is_frozen_and_keyword_only() -> None:
    query = GetProduct(product_id=1)
    with pytest.raises(AttributeError):
        query.product_id = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        GetProduct(1)  # type: ignore[misc]


def test_a_request_prints_no_fields() -> None:
    assert repr(GetProduct(product_id=4711)) == "<GetProduct>"


def test_the_operations_of_a_contract_are_those_with_a_name() -> None:
    names = [operation.operation_name for operation in operations_in(contract)]
    assert names[:6] == [
        "catalog.create_product",
        "catalog.get_product",
        "catalog.update_product",
        "catalog.patch_product",
        "catalog.list_products",
        "catalog.delete_product",
    ]


def test_no_queue_of_ours_looks_like_a_reply_queue() -> None:
    assert not [queue.name for queue in queues_of(operations_in(contract)) if is_reply_address(queue.name)]


def test_a_refusal_is_no_operation() -> None:
    assert not operations_in(type("Module", (), {"refusal": Refusal}))


def _declare(base: Any, name: str) -> Any:
    """What a class statement does."""
    return types.new_class("Declared", (base,), {"name": name})


def test_the_version_that_a_caller_knows_is_a_field() -> None:
    with pytest.raises(TypeError, match="if_match='version' is not one of its fields"):

        class Discard(Command[ProductCreated], name="catalog.discard_all", if_match="version"):
            pass


def test_files_are_those_of_a_list() -> None:
    with pytest.raises(TypeError, match="`files` is for a PageQuery"):

        class GetOne(Query[ProductCreated], name="catalog.get_one", files={"/one.csv": "text/csv"}):
            pass


def test_an_answer_without_a_body_can_have_no_fields() -> None:
    with pytest.raises(TypeError, match="status 204 has no body, so its reply can have no fields"):

        class Discard(Command[ProductCreated], name="catalog.discard_all", status=204):
            pass
