"""Skips tests that need a Docker engine where there is none."""

import os

import pytest

from bus.testing.servers.containers import check_engine
from bus.testing.servers.errors import ProvisioningFailed


def need_docker() -> None:
    """Skip with a visible reason when no Docker engine answers; fail when BUS_EXPECT_DOCKER=1 says that CI has one."""
    try:
        check_engine()
    except ProvisioningFailed as missing:
        if "CI" in os.environ and os.environ.get("BUS_EXPECT_DOCKER") == "1":
            pytest.fail(f"a Docker engine is expected here: {missing}", pytrace=False)
        pytest.skip(f"CONTAINERS ARE NOT TESTED: {missing}")
