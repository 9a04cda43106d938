"""Dead letters: grouped, listed, shown, and taken for an action."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bus.contract.fields import MultiLine
from bus.contract.operations import Authentication, Query, Reply, TransientCommand
from bus.contract.operator.requests import FailedAttempt
from bus.contract.problems import FieldError
from bus.contract.refusals import Refusal

# Of one page of a list.
MAX_LISTED = 500
# Letters that one action takes; more need several actions.
MAX_LETTERS = 100_000
# The number of a row; no table has more.
Number = Annotated[int, Meta(ge=0, le=2**62)]
Word = Annotated[str, Meta(max_length=255)]

# The states of a letter: chosen is taken by an action, and not sent again yet.
DEAD, CHOSEN, REPLAYED, DISCARDED = "dead", "chosen", "replayed", "discarded"
DeadLetterState = Literal["", "dead", "chosen", "replayed", "discarded"]
LetterActionKind = Literal["replay", "edit", "discard"]


class UnknownDeadLetter(Refusal, code="unknown-dead-letter", status=404):
    """There is no such dead letter. `bus dead-letters list` lists them."""


class BodyNotAcceptable(Refusal, code="body-not-acceptable", status=422):
    """The new body cannot be sent. The detail says why."""


class GroupName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the letters of a group have in common; here an empty text is that text."""

    operation: Word
    reason: Word
    error_class: Word


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Letters that match every field given; an empty field matches all.

    `error` is a reason or the class of an error. `which` is a message id, a letter's number or its letter id, `ids` are
    numbers. `since` is compared with the letter's last death. `action` is the number of the action that took the letter
    last. `up_to` is the highest number of a letter: later ones do not match. `group` is exactly one group.
    """

    operation: Word = ""
    error: Word = ""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    which: Word = ""
    state: DeadLetterState = ""
    action: Number = 0
    ids: Annotated[Sequence[Number], Meta(max_length=MAX_LISTED)] = ()
    up_to: Number = 0
    group: GroupName | None = None

    @property
    def is_everything(self) -> bool:
        """Whether neither an operation, an error, a time, an id nor a group is given."""
        return not (self.operation or self.error or self.since or self.which or self.ids or self.group)

    def __str__(self) -> str:
        """The command line options that mean the same; a group has none, and is named."""
        given = {"operation": self.operation, "error": self.error, "since": self.since, "id": self.which}
        words = [f"--{name} {value}" for name, value in given.items() if value]
        words += [f"--id {number}" for number in self.ids]
        if self.group:
            words.append(f"group of {', '.join(filter(None, msgspec.structs.astuple(self.group)))}")
        return " ".join(words) or "--all"


class OriginalProperties(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Properties of the original message, cleaned, for a person to see.

    `caller` is the account that a worker had verified, as `bus.security.vouching` writes it.
    """

    message_id: str = ""
    correlation_id: str = ""
    content_type: str = ""
    content_encoding: str = ""
    reply_to: str = ""
    traceparent: str = ""
    tracestate: str = ""
    caller: str = ""


class DeadLetterSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a letter that fit in a line. Times are in UTC.

    `operation` is empty when its origin is no operation of the service; of an event it is the event's name.
    `message_id` is None unless it is a legal one. `whole`: the body is as it came, so that it can be sent again.
    Columns with a default are the database's, and those of a letter that is stored for the first time.
    """

    id: int = 0
    letter_id: str
    operation: str
    origin_queue: str
    reason: str
    error_class: str
    attempts: int
    first_at: datetime
    last_at: datetime
    message_id: str | None
    whole: bool
    state: str = "dead"
    action_id: int | None = None


class ListedDeadLetter(DeadLetterSummary, frozen=True, kw_only=True):
    """A letter in a list. `why_not` says why it cannot be sent again with its own body; empty when it can."""

    why_not: str


class DeadLetterList(Reply):
    """A page of letters. `matching` is how many the filter matches, if that was asked for, `replayable` how many of
    them can be sent again, and `newest` the highest number among them."""

    letters: Sequence[ListedDeadLetter]
    matching: int | UnsetType = UNSET
    replayable: int | UnsetType = UNSET
    newest: int | UnsetType = UNSET


class DeadLetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Letters of one operation with the same cause."""

    operation: str
    reason: str
    error_class: str
    count: int
    first_at: datetime
    last_at: datetime


class DeadLetterGroups(Reply):
    """The letters counted by operation and cause, the latest group last."""

    groups: Sequence[DeadLetterGroup]


class DeadLetterInFull(Reply):
    """A letter with everything in it. Bytes of the body that are not UTF-8 are escaped, as `\\xff`.

    `attempts` are those of its tries at which a handler failed, as far as they are still stored, the oldest first.
    """

    letter: ListedDeadLetter
    detail: str
    traceback: str
    properties: OriginalProperties
    body: str
    handled_at: datetime | None
    replayed_as: str | None
    attempts: Sequence[FailedAttempt] = ()


class DeadLettersTaken(Reply):
    """The number of the new action, None if it found no letter to take, how many letters it took, and how many it left
    because they cannot be sent again."""

    action: int | None
    letters: int
    skipped: int


class ListDeadLetters(Query[DeadLetterList]):
    """Dead letters one by one, in the order they arrived, or the newest first.

    `after` is the number of the last letter of the page before. With `counted` the whole list is counted too.
    """

    authentication: ClassVar[Authentication] = "operator"

    filter: DeadLetterFilter = DeadLetterFilter()
    after: Number = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_LISTED)] = 100
    newest_first: bool = False
    counted: bool = False


class GroupDeadLetters(Query[DeadLetterGroups]):
    """Dead letters counted by operation and cause."""

    authentication: ClassVar[Authentication] = "operator"

    filter: DeadLetterFilter = DeadLetterFilter()
    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS)] = 100


class GetDeadLetter(Query[DeadLetterInFull]):
    """The newest dead letter with this number, letter id or message id."""

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {UnknownDeadLetter.code: UnknownDeadLetter}

    which: Word


class TakeDeadLetters(TransientCommand[DeadLettersTaken]):
    """Begin an action with the letters that match the filter, in the state that it names, or else `dead`.

    A discard is done with that. The letters of a replay, and the one of an `edit`, which has another `body`, wait to be
    sent. What cannot be sent again is left as it is.
    """

    authentication: ClassVar[Authentication] = "operator"
    refusals: ClassVar[Mapping[str, type[Refusal]]] = {BodyNotAcceptable.code: BodyNotAcceptable}

    kind: LetterActionKind
    filter: DeadLetterFilter
    limit: Annotated[int, Meta(ge=1, le=MAX_LETTERS)] = MAX_LETTERS
    reason: Annotated[str, Meta(max_length=500)] = ""
    body: Annotated[str, MultiLine()] | UnsetType = UNSET

    def violations(self) -> Iterable[FieldError]:
        """A state whose letters are handled already, or belong to another action."""
        if self.filter.state in ("", "dead") or (self.kind, self.filter.state) == ("discard", "chosen"):
            return
        states = "dead or chosen" if self.kind == "discard" else "dead"
        yield FieldError("/filter/state", f"A {self.kind} takes letters that are {states}.", "wrong-state")
