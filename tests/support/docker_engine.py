"""What tests that need a Docker engine do where there is none."""

import os

import pytest

from bus.testing.servers.containers import check_engine
from bus.testing.servers.errors import ProvisioningFailed


def need_docker() -> None:
    """Skip, loudly, where no Docker engine answers; fail where CI promised one."""
    try:
        check_engine()
    except ProvisioningFailed as missing:
        if "CI" in os.environ and os.environ.get("BUS_EXPECT_DOCKER") == "1":
            pytest.fail(f"a Docker engine is expected here: {missing}", pytrace=False)
        pytest.skip(f"THE CONTAINER WAY IS NOT TESTED: {missing}")
