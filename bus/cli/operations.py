"""`bus operations` and `bus topology`."""

import sys
from typing import Any

import click
import msgspec

from bus.cli.common import broker_of, chosen_applications, operations_of, settings_for
from bus.contract.operations import Operation
from bus.messaging.topology import Queue


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def operations(as_json: bool) -> None:
    """List all operations with their fields."""
    found = operations_of(chosen_applications([]))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([_described(each) for each in found.values()])))
        return
    for name, operation in found.items():
        fields = " ".join(_field(field) for field in msgspec.structs.fields(operation))
        click.echo(f"{name:<25} {operation.operation_kind:<10}{fields}")


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
    differences = _differences(broker_of(settings), queues)
    for difference in differences:
        click.echo(difference)
    click.echo(
        "The broker's queues or exchanges differ." if differences else f"All {len(queues)} queues are as declared."
    )
    sys.exit(1 if differences else 0)


def _differences(url: str, queues: list[Queue]) -> list[str]:
    from bus.messaging.rabbitmq import differences

    return differences(url, queues)


def _field(field: msgspec.structs.FieldInfo) -> str:
    return field.encode_name if field.required else f"[{field.encode_name}]"


def _described(operation: type[Operation[Any]]) -> dict[str, object]:
    return {
        "name": operation.operation_name,
        "kind": operation.operation_kind,
        "status": operation.success_status,
        "fields": [
            {"name": field.encode_name, "required": field.required} for field in msgspec.structs.fields(operation)
        ],
        "refusals": sorted(operation.refusals),
        "description": operation.__doc__,
    }
