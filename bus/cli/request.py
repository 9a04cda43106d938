"""`bus request`: what became of one request."""

from functools import partial

import click
import msgspec

from bus.cli.groups import MAY_BEGIN_WITH_A_DASH
from bus.cli.operating import AS_JSON, Operating, installed_names, operating
from bus.client.request_story import Story, story_of
from bus.contract.operator.requests import GetRequest, KnownOfRequest
from bus.contract.problems import Invalid


@click.command(context_settings=MAY_BEGIN_WITH_A_DASH)
@click.argument("which", metavar="ID")
@AS_JSON
def request(which: str, as_json: bool) -> None:
    """Show what became of one request, by its message id, idempotency key or trace id.

    All installed services are asked: for its answer, each try that failed, dead letters, its events and their
    listeners. Times are UTC.
    """
    with operating() as services:
        try:
            story = story_of(which, installed_names(), partial(_ask, services))
        except Invalid as invalid:
            raise click.UsageError(invalid.problem.detail) from None
    if as_json:
        click.echo(msgspec.json.encode(story).decode())
        return
    for line in _lines(story):
        click.echo(line)


def _ask(services: Operating, service: str, question: GetRequest) -> KnownOfRequest:
    known: KnownOfRequest = services.ask(service, GetRequest, which=question.which, by=question.by)
    return known


def _lines(story: Story) -> list[str]:
    lines = [f"{service} is not known: {trouble}" for service, trouble in story.troubles.items()]
    lines += story.limits
    for verdict in story.verdicts:
        which = f" ({verdict.message_id})" if verdict.state == "unknown" else ""
        lines.append(f"{verdict.state:<8} {verdict.service:<12} {verdict.text}{which}")
    lines += story.unknown
    for entry in story.entries:
        lines.append(f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.service:<12} {entry.text}")
        if entry.level == "wrong" and entry.detail:
            lines.append(f"{'':<34}{entry.detail}")
    return [*lines, *(f"trace {each}" for each in story.traces)]
