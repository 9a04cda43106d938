"""Limits: the numbers of a worker that an operator may set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long a handler may take, how often a fault is retried, how much may wait, how long is remembered.

    `handler_seconds`: a handler that takes longer is taken for hung, and its process ends. It is longer
    than the longest statement (`bus.database`). `retry_seconds`: the pauses before another try of a command
    whose handler failed; after the last it is a dead letter. `queue_bound`: the greatest length of a
    command queue, in messages. `replicate_queries`: queries wait on several nodes of a cluster, as commands
    do. `keep_days`: how long the inbox and sent events are kept.

    All workers of a service must have the same `retry_seconds`, `queue_bound` and `replicate_queries`:
    they are the broker's too.
    """

    handler_seconds: float = 60.0
    retry_seconds: tuple[int, ...] = (5, 30, 120)
    queue_bound: int = 100_000
    replicate_queries: bool = False
    keep_days: float = 7.0


DEFAULT_LIMITS = Limits()
