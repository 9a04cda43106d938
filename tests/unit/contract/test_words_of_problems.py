"""What callers read of their mistakes: of all operations, every field with wrong values, and every refusal.

None of it speaks of Python, of a library or in code, and each problem has the id to give to an operator.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import auth.contract
import catalog.contract
from bus.contract.operations import Operation, operations_in
from bus.contract.problems import Invalid, Problem
from bus.contract.validation import decode
from bus.messaging.message import Message
from bus.messaging.replies import EncodedReply
from bus.messaging.trace_context import begin

OPERATIONS = [*operations_in(auth.contract), *operations_in(catalog.contract)]
VALUES: list[Any] = [None, True, -1, 1.5, 10**30, "", "x" * 300_000, "\x00", "not it", [], [None], {}, {"a": 1}, "NaN"]
# Backticks and quotes of code, types of Python, and the libraries that are behind it.
FOREIGN = re.compile(
    r"`|<class|\b(?:str|int|float|bool|dict|list|tuple|NoneType|Struct|Exception|Traceback|"
    r"msgspec|pika|kombu|sqlalchemy|psycopg|sqlite3|flask|werkzeug|python)\b",
    re.IGNORECASE,
)
# A word of English too.
ENGLISH = re.compile(r"\ba list\b|\blists?\b", re.IGNORECASE)


def _bodies(operation: type[Operation[Any]]) -> Iterator[bytes]:
    names = [field.encode_name for field in msgspec.structs.fields(operation)]
    yield from (b"", b"{", b"[]", b"{}", b'{"a": 1, "a": 2}', b'{"nowhere": 1}', b"\xff", b"[" * 100)
    for name in names:
        yield from (json.dumps({name: value}).encode() for value in VALUES)
    yield from (json.dumps(dict.fromkeys(names, value)).encode() for value in VALUES)


def _problems(operation: type[Operation[Any]]) -> Iterator[Problem]:
    for body in _bodies(operation):
        try:
            decode(body, operation)
        except Invalid as invalid:
            yield invalid.problem
    for refusal in operation.refusals.values():
        yield Problem.of(refusal.code, refusal.status, refusal.title, (refusal.__doc__ or "").splitlines()[0])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.operation_name)
def test_every_problem_is_in_words_for_its_caller(operation: type[Operation[Any]]) -> None:
    problems = list(_problems(operation))
    assert problems
    for problem in problems:
        trace = begin()
        reply = EncodedReply.problem(problem, trace).to(Message(queue="", body=b"", reply_to="reply"))
        assert reply is not None
        told = json.loads(reply.body)
        assert told["trace_id"] == trace.trace_id
        words = [told["title"], told["detail"], *(error["detail"] for error in told.get("errors", ()))]
        assert all(words)
        foreign = [each for each in words if FOREIGN.search(ENGLISH.sub("", each))]
        assert not foreign
