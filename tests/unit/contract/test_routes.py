"""Routes: declared in the contract, and wrong ones are a TypeError when the module is imported."""

from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from bus.contract.fields import Secret
from bus.contract.operations import Command, Query, Reply
from bus.contract.routes import Route, is_whole_number
from catalog.contract import CreateProduct, GetProduct, UpdateProduct


class Done(Reply):
    done: bool


class Fields(Query[Done]):
    """Without a name of its own; the declarations of the tests add one."""

    product_id: Annotated[int, Meta(ge=0)]
    word: str
    price: Decimal | UnsetType = UNSET
    limit: Annotated[int, Meta(le=5)] | None = None


class Change(Command[Done]):
    product_id: int
    maybe: int | UnsetType = UNSET
    flag: bool = False
    words: list[str] = msgspec.field(default_factory=list)
    password: Annotated[str, Secret()] = ""


def test_a_route_is_a_method_and_a_path_with_fields() -> None:
    assert GetProduct.http == Route("GET", "/products/{product_id}")
    assert str(GetProduct.http) == "GET /products/{product_id}"
    assert GetProduct.http.parameters == ("product_id",)
    assert not GetProduct.http.has_body
    assert CreateProduct.http == Route("POST", "/products")
    assert CreateProduct.http.has_body
    assert UpdateProduct.http == Route("PUT", "/products/{product_id}")


def test_an_operation_without_a_route_has_none() -> None:
    assert _declared(Fields, "").http is None


GOOD_PATHS = ["/a", "/a/b.json", "/{word}", "/{product_id}/{word}", "/a-b_c~d/{word}/e", "/a:all", "/{word}:x-y"]


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_a_path_has_words_and_fields(path: str) -> None:
    assert _declared(Fields, f"GET {path}").http == Route("GET", path)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_command_takes_its_fields_from_a_body(method: str) -> None:
    assert _declared(Change, f"{method} /things/{{product_id}}").http == Route(method, "/things/{product_id}")


BAD_TEXTS = [" ", "/things", "get /things", "HEAD /things", "FETCH /things", "GET\t/things", "GETS /things", " GET /a"]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_a_method_that_is_none_of_the_five_is_a_type_error(text: str) -> None:
    with pytest.raises(TypeError, match="must begin with one of GET, POST"):
        _declared(Fields, text)


BAD_PATHS = [
    *("", " /a", "things", "/", "//", "/things/", "/a//b", "/a b", "/a?b", "/a#b", "/ä", "/a%20", "/<int:word>"),
    *("/{", "/{}", "/{word", "/word}", "/x{word}", "/{word}x", "/{word}{product_id}", "/{Word}", "/{word}/{word}"),
    *("/:b", "/a:", "/a:B", "/a:b:c", "/a:b/c", "/a:{word}"),
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_none_is_a_type_error(path: str) -> None:
    with pytest.raises(TypeError, match="is not a path such as"):
        _declared(Fields, f"GET {path}")


def test_a_query_is_a_get_and_a_command_is_not() -> None:
    with pytest.raises(TypeError, match="a query must be a GET"):
        _declared(Fields, "POST /things")
    with pytest.raises(TypeError, match="a command cannot be a GET"):
        _declared(Change, "GET /things")


def test_a_parameter_that_is_no_field_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"\{other\} in 'GET /things/\{other\}' is not one of its fields"):
        _declared(Fields, "GET /things/{other}")


@pytest.mark.parametrize(
    ("base", "name"), [(Change, "maybe"), (Change, "flag"), (Change, "words"), (Fields, "price"), (Fields, "limit")]
)
def test_a_parameter_that_is_no_required_number_or_text_is_a_type_error(base: Any, name: str) -> None:
    method = "PUT" if base is Change else "GET"
    with pytest.raises(TypeError, match=f"{name} is in the path, so it must be a required int or str"):
        _declared(base, f"{method} /things/{{{name}}}")


class Remove(Command[Done]):
    words: list[str] = msgspec.field(default_factory=list)


def test_what_a_query_string_cannot_say_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="comes in the query string, so it must be text, a number or a boolean"):
        _declared(Remove, "DELETE /things")


class Reveal(Query[Done]):
    password: Annotated[str, Secret()]


@pytest.mark.parametrize("path", ["/things", "/things/{password}"])
def test_a_secret_in_a_url_is_a_type_error(path: str) -> None:
    with pytest.raises(TypeError, match="is secret, so it cannot come in the URL"):
        _declared(Reveal, f"GET {path}")


class Erase(Command[Done]):
    product_id: int
    password: Annotated[str, Secret()]


def test_a_delete_with_a_secret_has_a_body() -> None:
    route = _declared(Erase, "DELETE /things/{product_id}").http
    assert (route.has_body, route.needs_body) == (True, True)


class Enable(Command[Done]):
    product_id: int


def test_a_body_without_fields_may_be_left_out() -> None:
    route = _declared(Enable, "POST /things/{product_id}/enable").http
    assert (route.has_body, route.needs_body) == (True, False)


def test_a_route_without_a_queue_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="an operation with a route needs a name too"):

        class Nameless(Query[Done], http="GET /things"):
            pass


def test_numbers_in_a_path_are_distinguished_from_text() -> None:
    fields = {field.name: field for field in msgspec.structs.fields(Fields)}
    assert is_whole_number(fields["product_id"])
    assert not is_whole_number(fields["word"])


def _declared(base: Any, http: str) -> Any:
    class Declared(base, name="example.declared", http=http):  # type: ignore[misc, call-arg]
        pass

    return Declared
