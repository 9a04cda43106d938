"""`bus operations` and `bus topology`."""

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from bus.cli.broker import broker_of
from bus.cli.common import chosen_applications, operations_of, settings_for
from bus.contract.operations import Operation
from bus.messaging.topology import Queue
from bus.service.application import Application


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--operators", is_flag=True, help="Those for operators, such as the console's, instead.")
def operations(as_json: bool, operators: bool) -> None:
    """List all operations with their fields and routes. Shows what their handlers call or send, too."""
    applications = chosen_applications([])
    everything, calls = operations_of(applications), _calls_of(applications, "call")
    found = {name: each for name, each in everything.items() if (each.authentication == "operator") == operators}
    sends = _calls_of(applications, "send")
    if as_json:
        described = [_described(each, calls.get(name, []), sends.get(name, [])) for name, each in found.items()]
        click.echo(msgspec.json.format(msgspec.json.encode(described)))
        return
    for name, operation in found.items():
        fields = " ".join(_field(field) for field in msgspec.structs.fields(operation))
        called = f"(calls {', '.join(calls[name])})" if name in calls else ""
        sent = f"(sends {', '.join(sends[name])})" if name in sends else ""
        rest = "  ".join(filter(None, (fields, str(operation.http or ""), called, sent)))
        click.echo(f"{name:<25} {operation.operation_kind:<10}{rest}")


@click.command()
@click.option("--check", is_flag=True, help="Compare with the broker; exit with 1 if something differs.")
def topology(check: bool) -> None:
    """List the queues and their arguments."""
    applications = chosen_applications([])
    settings = settings_for(applications)
    queues = [queue for application in applications for queue in application.service.queues(settings.limits)]
    if not check:
        for queue in queues:
            click.echo(f"{queue.name:<25} {queue.kind:<11}{msgspec.json.encode(queue.arguments()).decode()}")
        return
    differences, unseen = _differences(broker_of(settings), queues)
    for difference in differences:
        click.echo(difference)
    if unseen:
        click.echo(f"Bindings and policies were not compared: {unseen}.", err=True)
    click.echo(
        "The broker's queues or exchanges differ." if differences else f"All {len(queues)} queues are as declared."
    )
    sys.exit(1 if differences else 0)


def _differences(url: str, queues: list[Queue]) -> tuple[list[str], str]:
    from bus.messaging.rabbitmq import differences

    return differences(url, queues)


def _field(field: msgspec.structs.FieldInfo) -> str:
    return field.encode_name if field.required else f"[{field.encode_name}]"


def _calls_of(applications: Sequence[Application], verb: str) -> dict[str, list[str]]:
    """What the handlers of operations call, or send, where they do."""
    handlers = [handler for each in applications for handler in each.service.handlers.values() if handler.calls]
    doing = (handler for handler in handlers if handler.verb == verb)
    return {each.operation.operation_name: [called.operation_name for called in each.calls] for each in doing}


def _described(operation: type[Operation[Any]], calls: Sequence[str], sends: Sequence[str]) -> dict[str, object]:
    return {
        "name": operation.operation_name,
        "kind": operation.operation_kind,
        "http": str(operation.http) if operation.http else None,
        "status": operation.success_status,
        "fields": [
            {"name": field.encode_name, "required": field.required} for field in msgspec.structs.fields(operation)
        ],
        "refusals": sorted(operation.refusals),
        "calls": calls,
        "sends": sends,
        "description": operation.__doc__,
    }
