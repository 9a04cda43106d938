"""`bus doctor`: the findings of `bus.runtime.doctor`, as lines or JSON."""

import os
import sys
from collections.abc import Iterator, Sequence

import click
import msgspec

from bus.cli.common import chosen_applications
from bus.runtime.doctor import CHECKS, Finding, examine, ok, warning, wrong
from bus.runtime.settings import SettingsError, misspelling, read_settings
from bus.service.application import Application, declared_by
from bus.telemetry.logs import configure_logs

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red", "unknown": "yellow"}


@click.command()
@click.argument("services", nargs=-1)
@click.option("--skip", type=click.Choice(CHECKS), multiple=True, help="Skip this check; may be given several times.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(services: Sequence[str], skip: Sequence[str], as_json: bool) -> None:
    """Check all that SERVICES, or all services, need: settings, ports, databases, broker and workers.

    Prints what is wrong and what to do, and exits with 1 if something is wrong. Creates no queue, table or file.
    """
    configure_logs("error")  # the findings have what would be logged as a warning
    findings = []
    for finding in _examined(chosen_applications(services), skip):
        findings.append(finding)
        if not as_json:
            click.echo(_line(finding))
    count = sum(finding.state == "wrong" for finding in findings)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)))
    else:
        problems = "1 problem" if count == 1 else f"{count or 'No'} problems"
        click.echo(f"\n{problems} found.")
    sys.exit(1 if count else 0)


def _examined(applications: Sequence[Application], skip: Sequence[str]) -> Iterator[Finding]:
    try:
        settings = read_settings(os.environ, *declared_by(applications))
    except SettingsError as mistakes:
        yield from (wrong("settings", mistake) for mistake in str(mistakes).splitlines())
        return
    yield ok("settings", "all settings are valid")
    yield from (warning("settings", misspelling(names)) for names in settings.misspelt.items())
    yield from examine(applications, settings, skip)


def _line(finding: Finding) -> str:
    state = click.style(f"{finding.state:<9}", fg=_COLOURS[finding.state])
    return f"{state}{finding.check:<13}{finding.service or '-':<10}{finding.detail}"
