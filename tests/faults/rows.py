"""The rows: every fault there is, by its number."""

from collections.abc import Callable
from dataclasses import dataclass

from faults import (
    broker_absence,
    broker_changes,
    database_faults,
    database_troubles,
    embedded_deaths,
    front_end_deaths,
    frozen,
    fuzz,
    handler_faults,
    log_ins,
    long_queue,
    lost_leader,
    network_faults,
    orders,
    queue_faults,
    repetition,
    rolling_restart,
    soak,
    supervision,
    worker_deaths,
)
from faults.scale import Scale
from faults.system import Servers
from faults.tally import Tally


@dataclass(frozen=True)
class Row:
    """A fault. `is_long` for one that is only run when asked for; `is_short` for one that is in every test run."""

    title: str
    run: Callable[[Servers, Scale], Tally]
    is_long: bool = False
    is_short: bool = False


ROWS: dict[str, Row] = {
    "F1": Row("a worker dies before its commit", worker_deaths.before_commit, is_short=True),
    "F2": Row("a worker dies after its commit", worker_deaths.after_commit, is_short=True),
    "F3": Row("a worker dies between reply and acknowledgement", worker_deaths.before_acknowledgement, is_short=True),
    "F4": Row("2 of 4 workers are killed every 3 s", worker_deaths.random_kills),
    "F5": Row("the front end dies after it has published", front_end_deaths.after_confirm),
    "F6": Row("the broker is stopped and started", broker_absence.stopped, is_short=True),
    "F7": Row("the broker is killed", broker_absence.killed),
    "F8": Row("the broker is away for a minute, with 1,000 clients", broker_absence.long_away),
    "F9": Row("the database is restarted", database_faults.restarted, is_short=True),
    "F10": Row("the database's connection is cut during COMMIT", database_faults.cut_during_commit),
    "F11": Row("a black hole between worker and broker", network_faults.worker_in_a_black_hole),
    "F12": Row(
        "a black hole between front end and broker, with 1,000 clients", network_faults.front_end_in_a_black_hole
    ),
    "F13": Row("a handler slower than the caller waits", handler_faults.slow, is_short=True),
    "F14": Row("a handler hangs for ever", handler_faults.hanging),
    "F15": Row("a message kills the process that takes it", handler_faults.killing, is_short=True),
    "F16": Row("the queue is full", queue_faults.full, is_short=True),
    "F17": Row("the broker is out of memory, with 1,000 clients", queue_faults.memory_alarm, is_short=True),
    "F18": Row("every message is published twice, one fifty times", repetition.published_twice, is_short=True),
    "F19": Row("nobody is where the replies go", repetition.dead_reply_addresses),
    "F20": Row("1,000 clients come back at once", network_faults.crowd_reconnects),
    "F21": Row("a rolling upgrade, one after the other", rolling_restart.rolling_restart, is_short=True),
    "F22": Row("a cluster of three loses its leader", lost_leader.leader_killed, is_long=True),
    "F23": Row("a queue is deleted while it is consumed", queue_faults.deleted),
    "F24": Row("steady work for an hour", soak.soak, is_long=True),
    "F25": Row("embedded: the one process dies at each point", embedded_deaths.at_each_point),
    "F26": Row("a table is locked", database_troubles.table_locked, is_short=True),
    "F27": Row("the database takes no writes", database_troubles.read_only, is_short=True),
    "F28": Row("embedded: another program holds the write lock", database_troubles.write_lock_held, is_short=True),
    "F29": Row("embedded: the disk is full", database_troubles.disk_full),
    "F30": Row("a COMMIT is never answered", database_troubles.silent_commit),
    "F31": Row("the database's connections stand still", database_troubles.connection_frozen),
    "F32": Row("the exchange of the events is deleted", broker_changes.exchange_deleted, is_short=True),
    "F33": Row("the vhost takes no more connections", broker_changes.vhost_limit),
    "F34": Row("`bus run` is killed", supervision.parent_killed, is_short=True),
    "F35": Row("a worker stands still at each point", frozen.worker),
    "F36": Row("a front end stands still", frozen.front_end),
    "F37": Row("the workers of orders and of the catalog die", orders.workers_die, is_short=True),
    "F38": Row("the catalog is away from orders for a minute", orders.catalog_away, is_short=True),
    "F39": Row("log-ins while the worker dies, and without servers", log_ins.faults, is_short=True),
    "F40": Row("20,000 commands wait in one queue, with readers", long_queue.many),
    "F41": Row("200,000 commands wait in one queue, with readers", long_queue.very_many, is_long=True),
    "FUZZ": Row("100,000 random and mutated messages", fuzz.fuzz, is_short=True),
}
