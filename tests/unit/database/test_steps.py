"""Steps: which statements may leave something behind when a call is refused."""

import pytest

from bus.database.steps import only_reads


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT count(*) FROM words WHERE word IN (?, ?)", True),
        ("\n select word from words where exists (select 1) for update", True),
        ("SELECT nextval('numbers')", False),
        ("SELECT keep_word('a')", False),
        ("SELECT word INTO copies FROM words", False),
        ("WITH kept AS (INSERT INTO words VALUES (1)) SELECT 1", False),
        ("UPDATE words SET word = 'a'", False),
        ("ROLLBACK TO SAVEPOINT step", False),
    ],
)
def test_a_statement_that_may_write_is_not_taken_for_a_read(statement: str, expected: bool) -> None:
    assert only_reads(statement) is expected
