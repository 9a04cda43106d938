"""Batches: many products are created, changed and deleted by one command."""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from bus import Command, FieldError, OneOf, Problem, Reply
from catalog.contract.deletion import DeleteProduct
from catalog.contract.fields import Attributes, Description, Name, Price, Quantity, Sku, Tags
from catalog.contract.products import CreateProduct, Product, UpdateProduct

MOST_OPERATIONS = 500


class PutProduct(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change the given fields of the product that has this SKU. If no product has it, create one.

    A product that is so already stays as it is, with its version. A new one needs name, price and quantity. A deleted
    product does not have its SKU: it stays deleted, and a new one is made.
    """

    sku: Sku
    name: Name | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    quantity: Quantity | UnsetType = UNSET
    tags: Tags | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET


class BatchOperation(OneOf):
    """One operation of a batch, with the fields that it has alone."""

    create: CreateProduct | UnsetType = UNSET
    update: UpdateProduct | UnsetType = UNSET
    delete: DeleteProduct | UnsetType = UNSET
    put: PutProduct | UnsetType = UNSET


class BatchResult(Struct, frozen=True, kw_only=True):
    """What became of one operation: the status that it has alone, and the product or the problem of its answer."""

    status: Annotated[int, Meta(examples=[201])]
    product: Product | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchResults(Reply):
    """The answer to `ChangeProducts`: a result for each operation, in their order."""

    results: list[BatchResult]


class ChangeProducts(
    Command[BatchResults], name="catalog.change_products", http="POST /products:batch", needs="catalog:write"
):
    """Carry out up to 500 operations, one after the other, as one command.

    An operation that is refused leaves the others as they are (`on_error` is `continue`), or undoes all of them
    (`abort`): then it has its own problem, and all the others have the status 424 and the problem
    `catalog.batch_aborted`. With `brief` the results have no products.
    """

    operations: Annotated[list[BatchOperation], Meta(min_length=1, max_length=MOST_OPERATIONS)]
    on_error: Literal["continue", "abort"] = "continue"
    brief: bool = False

    def violations(self) -> Iterable[FieldError]:
        """Those of the operations."""
        for place, each in enumerate(self.operations):
            for fault in each.content.violations() if isinstance(each.content, Command) else ():
                yield FieldError(f"/operations/{place}/{each.kind}{fault.pointer}", fault.detail, fault.code)
