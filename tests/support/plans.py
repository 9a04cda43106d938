"""What a database does for a statement: whether it reads a whole table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

STEP = 1000


@contextmanager
def statements_of_this_block() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed in the block, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def plan_of(connection: Any, statement: str, parameters: Any) -> str:
    """How PostgreSQL would execute it."""
    rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    return "\n".join(row[0] for row in rows)


def rows_read_of(connection: Any, statement: str, parameters: Any) -> int:
    """How many rows PostgreSQL reads for it, those that it drops again among them. It is executed."""
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    return _rows_of(plan["Plan"])


def _rows_of(node: dict[str, Any]) -> int:
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    own = sum(node.get(name, 0) for name in names) * node["Actual Loops"]
    return int(own + sum(_rows_of(each) for each in node.get("Plans", ())))


def instructions_of(connection: Any, statement: str, parameters: Any) -> int:
    """How many instructions SQLite executes for it, in thousands rounded down."""
    steps: list[int] = []
    raw = connection.connection.driver_connection
    raw.set_progress_handler(lambda: steps.append(STEP), STEP)
    try:
        connection.exec_driver_sql(statement, parameters).all()
    finally:
        raw.set_progress_handler(None, 0)
    return sum(steps)
