"""Imports of files, without a broker: what a dry run says."""

from pathlib import Path

from click.testing import CliRunner

from bus.cli import bus

ACCOUNTS = """username,email
ann,x@example.org
bob,x@example.org
bob,y@example.org
ann,z@example.org
"""


def test_a_line_that_is_refused_takes_nothing_from_later_lines(tmp_path: Path) -> None:
    """As the import itself, which makes no account of it."""
    file = tmp_path / "users.csv"
    file.write_text(ACCOUNTS)
    result = CliRunner().invoke(bus, ["auth", "import", str(file), "--dry-run"])
    faults = [line for line in result.output.splitlines() if line.startswith("line ")]
    assert faults == ["line 3: email: line 2 has x@example.org too.", "line 5: username: line 2 has ann too."]
    assert result.exit_code == 1
