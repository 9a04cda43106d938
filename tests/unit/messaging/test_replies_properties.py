"""Properties of answers: each is JSON with the status it says, and no secret is in any, nor in what is kept of it."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from structlog.testing import capture_logs
from support.example_service import Keep, KeepAll, KeepSecret, make_service

from bus.contract.problems import FieldError, Problem
from bus.database.engine import Database
from bus.database.tables import inbox
from bus.messaging.call import Call
from bus.messaging.message import PROBLEM, Message
from bus.messaging.replies import EncodedReply
from bus.worker.execution import HandlerFailed, execute

MEMBERS = {"type", "title", "status", "detail", "code", "error", "message"}
SECRET = "s3cret horse battery"
# One database serves all examples of a test: each looks only at its own answers, and at every row there is.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)

text = st.text(min_size=1, max_size=30).filter(lambda value: SECRET not in value)
words = st.sampled_from(["a", "refuse this", "break this"])
requests = st.one_of(
    st.builds(Keep, word=words | text),
    st.builds(KeepAll, word=words | text),
    st.builds(KeepSecret, word=words | text, password=st.just(SECRET)),
)


@given(
    st.builds(
        Problem.of,
        code=st.from_regex(r"[a-z]+(-[a-z]+)*", fullmatch=True),
        status=st.integers(400, 599),
        title=text,
        detail=text,
        errors=st.lists(st.builds(FieldError, pointer=text, detail=text, code=text), max_size=3),
        retry_after=st.integers(0, 100),
    )
)
def test_a_problem_document_has_its_members_and_its_status(problem: Problem) -> None:
    answer = EncodedReply.problem(problem)
    document = json.loads(answer.body)
    assert document.keys() >= MEMBERS
    assert document["status"] == answer.status == problem.status
    reply = answer.to(Message(queue="x", body=b"", reply_to="reply"))
    assert reply is not None
    assert (reply.content_type, reply.headers["status"]) == (PROBLEM, problem.status)


@shared
@given(st.lists(requests, min_size=1, max_size=4))
def test_whatever_is_carried_out_its_answer_is_json_with_its_status(database: Database, sent: list[Any]) -> None:
    for answer in execute([Call(type(each), each, None) for each in sent], make_service().handlers, database):
        if isinstance(answer, HandlerFailed):
            continue
        document = json.loads(answer.body)
        assert answer.status in (201, 409)
        assert (answer.status >= 400) == (answer.status == 409)
        assert not (answer.status >= 400) or (document.keys() >= MEMBERS and document["status"] == 409)


@shared
@given(st.lists(st.builds(KeepSecret, word=words | text, password=st.just(SECRET)), min_size=1, max_size=3), st.uuids())
def test_no_secret_is_in_an_answer_a_log_or_what_is_kept(database: Database, sent: list[Any], run: Any) -> None:
    calls = [Call(KeepSecret, each, f"{run}-{number}") for number, each in enumerate(sent)]
    with capture_logs() as logs:
        answers = execute(calls, make_service().handlers, database)
    told = [
        answer.message + answer.traceback if isinstance(answer, HandlerFailed) else answer.body for answer in answers
    ]
    with database.reading() as transaction:
        kept = transaction.connection.execute(select(inbox.c.reply)).scalars().all()
    assert SECRET not in repr((logs, told, kept))
