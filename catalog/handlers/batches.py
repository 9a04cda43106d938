"""Batches: the handlers of the single operations, one after the other."""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from bus import Problem, Refusal, Reply, Work
from bus.database import lock_all
from catalog.contract import (
    BatchOperation,
    BatchResult,
    BatchResults,
    ChangeProducts,
    DeleteProduct,
    ProductCreated,
    ProductUpdated,
)
from catalog.handlers.products import create_product, delete_product, update_product
from catalog.handlers.service import catalog
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


@catalog.handles(ChangeProducts)
def change_products(command: ChangeProducts, work: Work) -> BatchResults:
    # In one order and before all others, so that two batches never wait for each other.
    ids = [each.content.product_id for each in command.operations if each.kind != "create"]
    if ids:
        lock_all(work.connection, product, product.c.id, ids)
    if command.on_error == "continue":
        return BatchResults(results=_carried_out(command.operations, work))
    try:
        with work.all_or_nothing():
            results = _carried_out(command.operations, work)
            if any(each.problem for each in results):
                raise _Refused(results)
    except _Refused as refused:
        results = _all_but_the_first_refused(refused.results)
    return BatchResults(results=results)


def _carried_out(operations: Sequence[BatchOperation], work: Work) -> list[BatchResult]:
    """Neighbours of one kind together, because one statement serves them all."""
    results: list[BatchResult] = []
    for kind, neighbours in groupby(operations, key=attrgetter("kind")):
        replies = _HANDLERS[kind]([each.content for each in neighbours], work)
        results += map(_result_of, replies)
    return results


def _deleted(commands: list[DeleteProduct], work: Work) -> Sequence[Reply | Refusal]:
    return [_deleted_or_refused(command, work) for command in commands]


def _deleted_or_refused(command: DeleteProduct, work: Work) -> Reply | Refusal:
    try:
        return delete_product(command, work)
    except Refusal as refusal:  # raised before anything was written
        return refusal


_HANDLERS: dict[str, Callable[[Any, Work], Sequence[Reply | Refusal]]] = {
    "create": create_product,
    "update": update_product,
    "delete": _deleted,
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
