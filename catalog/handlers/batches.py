"""Batches: the handlers of the single operations, one after the other."""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from msgspec import UNSET, structs

from bus import Problem, Refusal, Reply, Work
from bus.database import lock_all
from catalog.contract import (
    BatchOperation,
    BatchResult,
    BatchResults,
    ChangeProducts,
    CreateProduct,
    Product,
    ProductCreated,
    ProductNotFound,
    ProductUpdated,
    PutProduct,
    UpdateProduct,
)
from catalog.handlers.deletion import delete_product
from catalog.handlers.products import create_product, update_product
from catalog.handlers.service import catalog
from catalog.storage.product_rows import changes_of, is_live, product_of
from catalog.storage.skus import Skus
from catalog.tables import product

# RFC 4918, section 11.4: Failed Dependency.
_ABORTED = Problem.of(
    "catalog.batch_aborted", 424, "Batch aborted", "Not carried out, because another one was refused."
)


class _Refused(Exception):
    """An operation of a batch was refused that is to be carried out completely or not at all."""

    def __init__(self, results: Sequence[BatchResult]) -> None:
        super().__init__()
        self.results = results


# In a thread of its own, because it takes as long as hundreds of others, which would wait for it.
@catalog.handles(ChangeProducts, threads=1)
def change_products(command: ChangeProducts, work: Work) -> BatchResults:
    # In one order and before all others, so that two batches never wait for each other.
    ids = [each.content.product_id for each in command.operations if each.kind in ("update", "delete")]
    if ids:
        lock_all(work.connection, product, product.c.id, ids)
    results = _results(command, work)
    if command.brief:
        results = [BatchResult(status=each.status, problem=each.problem) for each in results]
    return BatchResults(results=results)


def _results(command: ChangeProducts, work: Work) -> list[BatchResult]:
    if command.on_error == "continue":
        return _carried_out(command.operations, work)
    try:
        with work.all_or_nothing():
            results = _carried_out(command.operations, work)
            if any(each.problem for each in results):
                raise _Refused(results)
    except _Refused as refused:
        results = _all_but_the_first_refused(refused.results)
    return results


def _carried_out(operations: Sequence[BatchOperation], work: Work) -> list[BatchResult]:
    """Neighbours of one kind together, because one statement serves them all."""
    results: list[BatchResult] = []
    for kind, neighbours in groupby(operations, key=attrgetter("kind")):
        replies = _HANDLERS[kind]([each.content for each in neighbours], work)
        results += map(_result_of, replies)
    return results


def _put(puts: list[PutProduct], work: Work) -> Sequence[Reply | Refusal]:
    replies: list[Reply | Refusal] = []
    while puts:
        # Up to the first SKU that is there again: that one is for the product that the first has made.
        skus = [each.sku for each in puts]
        count = next((place for place, sku in enumerate(skus) if sku in skus[:place]), len(puts))
        replies += _put_distinct(puts[:count], work)
        puts = puts[count:]
    return replies


def _put_distinct(puts: Sequence[PutProduct], work: Work) -> list[Reply | Refusal]:
    skus = Skus(work.connection, (each.sku for each in puts))
    owners = {each.sku: owner for each in puts if (owner := skus.owner_of(each.sku)) is not None}
    rows = lock_all(work.connection, product, product.c.id, owners.values()) if owners else ()
    products = {row.id: product_of(row) for row in rows if is_live(row)}
    done: dict[str, Reply | Refusal] = {}
    creates: list[CreateProduct] = []
    updates: list[UpdateProduct] = []
    for each in puts:
        if each.sku in owners:
            update = UpdateProduct(product_id=owners[each.sku], **_given(each))
            current = products.get(update.product_id)
            if current is not None and not _differs(current, update):
                done[each.sku] = ProductUpdated(product=current)
            else:
                updates.append(update)
        elif UNSET in (each.name, each.price, each.quantity):
            done[each.sku] = ProductNotFound(f"No product has the SKU {each.sku}. A new one needs all three: "
                                             "name, price and quantity.")  # fmt: skip
        else:
            creates.append(CreateProduct(sku=each.sku, **_given(each)))
    sku_of = {owner: sku for sku, owner in owners.items()}
    done |= {str(c.sku): reply for c, reply in zip(creates, create_product(creates, work), strict=True)}
    done |= {sku_of[u.product_id]: reply for u, reply in zip(updates, update_product(updates, work), strict=True)}
    return [done[each.sku] for each in puts]


def _given(put: PutProduct) -> dict[str, Any]:
    """The fields beside the SKU."""
    return {name: value for name, value in structs.asdict(put).items() if name != "sku" and value is not UNSET}


def _differs(current: Product, update: UpdateProduct) -> bool:
    return any(getattr(current, name) != value for name, value in changes_of(update, current).items())


_HANDLERS: dict[str, Callable[[Any, Work], Sequence[Reply | Refusal]]] = {
    "create": create_product,
    "update": update_product,
    "delete": delete_product,
    "put": _put,
}


def _result_of(reply: Reply | Refusal) -> BatchResult:
    if isinstance(reply, Refusal):
        return BatchResult(status=reply.problem.status, problem=reply.problem)
    if isinstance(reply, ProductCreated):
        return BatchResult(status=201, product=reply.product)
    if isinstance(reply, ProductUpdated):
        return BatchResult(status=200, product=reply.product)
    return BatchResult(status=200)


def _all_but_the_first_refused(results: Sequence[BatchResult]) -> list[BatchResult]:
    """The results of a batch that was undone, because of the first operation that was refused."""
    first = next(each for each in results if each.problem)
    return [each if each is first else BatchResult(status=_ABORTED.status, problem=_ABORTED) for each in results]
