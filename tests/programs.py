"""What tests that need a program of the machine do where it is missing."""

import os
import shutil

import pytest

from bus.testing import apt
from bus.testing.unavailable import Unavailable

PACKAGES = {"amqp-publish": "amqp-tools", "amqp-consume": "amqp-tools", "curl": "curl"}


def need_programs(*programs: str) -> None:
    """Install what is missing, as root on Debian; else fail in CI, and skip loudly elsewhere."""
    missing = sorted({PACKAGES[program] for program in programs if shutil.which(program) is None})
    if not missing:
        return
    try:
        apt.install(*missing)
    except Unavailable as reason:
        if "CI" in os.environ:
            pytest.fail(f"{' and '.join(missing)} expected in CI: {reason}", pytrace=False)
        pytest.skip(f"NOT TESTED WITHOUT {' AND '.join(missing)}: {reason}")
