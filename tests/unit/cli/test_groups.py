"""Commands and services are imported when they are needed, and quickly."""

import gc

import click

from bus.cli import bus
from bus.contract.installed import importing
from bus.service.application import installed_applications


def test_the_garbage_collector_waits_while_modules_are_imported_and_no_longer() -> None:
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_after_a_command_and_the_services_are_imported_garbage_is_collected() -> None:
    assert bus.get_command(click.Context(bus), "operations") is not None
    assert installed_applications()
    assert gc.isenabled()


def test_who_has_switched_the_collector_off_keeps_it_so() -> None:
    gc.disable()
    try:
        installed_applications()
        assert not gc.isenabled()
    finally:
        gc.enable()
