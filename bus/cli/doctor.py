"""`bus doctor`."""

import sys
from collections.abc import Iterator, Sequence

import click
import msgspec

from bus.cli.common import chosen_applications, settings_for
from bus.runtime.doctor.examination import CHECKS, examine
from bus.runtime.doctor.finding import Finding, ok, wrong
from bus.runtime.settings import SettingsError
from bus.service.application import Application
from bus.telemetry.logs import configure_logs

_COLOURS = {"ok": "green", "wrong": "red", "unknown": "yellow"}


@click.command()
@click.argument("services", nargs=-1)
@click.option("--skip", type=click.Choice(CHECKS), multiple=True, help="Leave this out; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(services: Sequence[str], skip: Sequence[str], as_json: bool) -> None:
    """Look at all that SERVICES, or all, need, and say what is wrong.

    Ends with 1 when something is. It changes nothing: no queue, no table, no file is made.
    """
    configure_logs("error")  # what goes wrong on the way is what it tells
    findings = []
    for finding in _examined(chosen_applications(services), skip):
        findings.append(finding)
        if not as_json:
            click.echo(_line(finding))
    count = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)))
    else:
        click.echo("\nNothing is wrong." if not count else f"\n{count} to mend.")
    sys.exit(1 if count else 0)


def _examined(applications: Sequence[Application], skip: Sequence[str]) -> Iterator[Finding]:
    try:
        settings = settings_for(applications)
    except SettingsError as mistakes:
        yield from (wrong("settings", mistake) for mistake in str(mistakes).splitlines())
        return
    yield ok("settings", "the environment makes sense")
    yield from examine(applications, settings, skip)


def _line(finding: Finding) -> str:
    state = click.style(f"{finding.state:<9}", fg=_COLOURS[finding.state])
    return f"{state}{finding.check:<13}{finding.service or '-':<10}{finding.detail}"
