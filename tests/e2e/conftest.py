"""Fixtures for end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bus_run_system import Start, System


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start systems with the given environment; stops all of them after the test."""
    started: list[System] = []

    def start_system(**environment: str) -> System:
        started.append(System(tmp_path, **environment))
        return started[-1]

    yield start_system
    for system in started:
        system.kill()
