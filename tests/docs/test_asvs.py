"""docs/security.md: the checklist of OWASP ASVS 5.0 is complete, and all tests that the page names are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# How many requirements of levels 1 and 2 each section has: chapter.section to the numbers of those requirements.
REQUIREMENTS = {
    "6.1": (1, 2, 3),
    "6.2": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    "6.3": (1, 2, 3),
    "6.4": (1, 2, 3, 4),
    "6.5": (1, 2, 3, 4, 5),
    "6.6": (1, 2, 3),
    "6.8": (1, 2, 3),
    "7.1": (1, 2, 3),
    "7.2": (1, 2, 3, 4),
    "7.3": (1, 2),
    "7.4": (1, 2, 3, 4, 5),
    "7.5": (1, 2),
    "7.6": (1, 2),
    "9.1": (1, 2, 3),
    "9.2": (1, 2, 3, 4),
    "10.1": (1, 2),
    "10.2": (1, 2),
    "10.3": (1, 2, 3, 4),
    "10.4": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    "10.5": (1, 2, 3, 4, 5),
    "10.6": (1, 2),
    "10.7": (1, 2, 3),
}


def _rows() -> dict[str, str]:
    document = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| ([0-9]+\.[0-9]+\.[0-9]+) \| [12] \| [^|]+ \| (.+) \|$", document, re.MULTILINE))


def test_each_requirement_of_levels_1_and_2_has_a_test_or_a_reason() -> None:
    wanted = [f"{section}.{number}" for section, numbers in REQUIREMENTS.items() for number in numbers]
    assert list(_rows()) == wanted


def test_the_tests_that_the_checklist_names_are_there() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = {name for answer in _rows().values() for name in re.findall(r"`(test_\w+)`", answer)}
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in tests} == set()


def test_each_line_about_a_hostile_program_names_tests_that_are_there() -> None:
    document = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (can(?:not)? [^|]+) \| [^|]+ \| (.+) \|$", document, re.MULTILINE)
    assert len(lines) == len(re.findall(r"^\| can", document, re.MULTILINE)) > 10
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for line, shown_by in lines:
        named = re.findall(r"`(test_\w+)`", shown_by)
        assert named, line
        assert {name for name in named if f"def {name}(" not in tests} == set(), line
