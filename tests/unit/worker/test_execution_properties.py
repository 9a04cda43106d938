"""Properties of execution: each reply is JSON with its status; no reply, log or inbox row holds a secret."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from structlog.testing import capture_logs
from support.example_service import Keep, KeepAll, KeepSecret, make_service

from bus.database.engine import Database
from bus.database.tables import inbox
from bus.messaging.call import Call
from bus.worker.execution import Executor
from bus.worker.handler_runs import HandlerFailed

MEMBERS = {"type", "title", "status", "detail", "code", "error", "message"}
SECRET = "s3cret horse battery"
# All examples of a test share one database: each checks only its own replies, and every row.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)

text = st.text(min_size=1, max_size=30).filter(lambda value: SECRET not in value)
words = st.sampled_from(["a", "refuse this", "break this"])
requests = st.one_of(
    st.builds(Keep, word=words | text),
    st.builds(KeepAll, word=words | text),
    st.builds(KeepSecret, word=words | text, password=st.just(SECRET)),
)


@shared
@given(st.lists(requests, min_size=1, max_size=4))
def test_every_reply_is_json_with_its_status(database: Database, sent: list[Any]) -> None:
    calls = [Call(type(each), each, None) for each in sent]
    for reply in Executor(make_service().handlers, database).execute(calls):
        if isinstance(reply, HandlerFailed):
            continue
        document = json.loads(reply.body)
        assert reply.status in (201, 409)
        assert (reply.status >= 400) == (reply.status == 409)
        assert not (reply.status >= 400) or (document.keys() >= MEMBERS and document["status"] == 409)


@shared
@given(st.lists(st.builds(KeepSecret, word=words | text, password=st.just(SECRET)), min_size=1, max_size=3), st.uuids())
def test_no_secret_is_in_a_reply_a_log_or_an_inbox_row(database: Database, sent: list[Any], run: Any) -> None:
    calls = [Call(KeepSecret, each, f"{run}-{number}") for number, each in enumerate(sent)]
    with capture_logs() as logs:
        replies = Executor(make_service().handlers, database).execute(calls)
    sent_back = [each.message + each.traceback if isinstance(each, HandlerFailed) else each.body for each in replies]
    with database.reading() as transaction:
        stored = transaction.connection.execute(select(inbox.c.reply)).scalars().all()
    assert SECRET not in repr((logs, sent_back, stored))
