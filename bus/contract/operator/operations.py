"""All operations of operators, as one service has them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from bus.contract.builtin import builtin_operation
from bus.contract.operations import Operation
from bus.contract.operator.actions import GetAction, ListActions, RecordCall, SendNext
from bus.contract.operator.dead_letters import GetDeadLetter, GroupDeadLetters, ListDeadLetters, TakeDeadLetters
from bus.contract.operator.events import BeginEventReplay, CountEvents
from bus.contract.operator.requests import GetRequest
from bus.contract.operator.state import GetState

_VERBS: Mapping[type[Operation[Any]], str] = {
    GetState: "get_state",
    GetRequest: "get_request",
    ListDeadLetters: "list_dead_letters",
    GroupDeadLetters: "group_dead_letters",
    GetDeadLetter: "get_dead_letter",
    TakeDeadLetters: "take_dead_letters",
    CountEvents: "count_events",
    BeginEventReplay: "begin_event_replay",
    ListActions: "list_actions",
    GetAction: "get_action",
    SendNext: "send_next",
    RecordCall: "record_call",
}


@cache
def operator_operations(service: str) -> Mapping[type[Operation[Any]], type[Operation[Any]]]:
    """The operator's operations of one service, by their classes."""
    return {declared: builtin_operation(service, verb, declared) for declared, verb in _VERBS.items()}
