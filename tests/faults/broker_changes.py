"""F32 and F33: a broker that somebody changes under the running system."""

import time
from urllib.parse import unquote, urlsplit

from bus.testing.waiting import wait_until
from faults.counting import count
from faults.load import Load
from faults.queues import channel
from faults.scale import Scale
from faults.system import Servers, System, running
from faults.tally import Tally

EXCHANGE = "bus.events"
BEFORE_SECONDS, LIMITED_SECONDS = 1.0, 10.0
DECLARED_SECONDS, BACK_SECONDS, SENT_SECONDS = 5.0, 10.0, 60.0


def exchange_deleted(servers: Servers, scale: Scale) -> Tally:
    """Somebody deletes the exchange of the events, several times. Creates go on, and all events are sent."""
    tally = Tally(recovered_in=0.0)
    with running(servers) as system:
        load = Load(system.urls, scale.creates).start()
        for _ in range(scale.of(5, 1)):
            time.sleep(BEFORE_SECONDS)
            with channel(system.bus_url) as opened:
                opened.exchange_delete(EXCHANGE)
            gone = time.monotonic()
            wait_until(lambda: system.queues.has_exchange(EXCHANGE), SENT_SECONDS, "the exchange is there again")
            tally.recovered_in = max(tally.recovered_in or 0.0, time.monotonic() - gone)
        load.finish()
        bound = scale.within(DECLARED_SECONDS)
        tally.must((tally.recovered_in or 0.0) < bound, f"it took {tally.recovered_in:.1f} s to declare it again")
        wait_until(lambda: system.unsent_events() == 0, SENT_SECONDS, "all events are sent")
        count(tally, system, load)
    return tally


def vhost_limit(servers: Servers, scale: Scale) -> Tally:
    """A worker dies and cannot come back, as the vhost takes no more connections. The other one works on."""
    tally = Tally()
    with running(servers, workers=2) as system:
        vhost = unquote(urlsplit(system.bus_url).path.removeprefix("/"))
        load = Load(system.urls, scale.creates).start()
        time.sleep(BEFORE_SECONDS)
        _limit(servers, vhost, system)
        victim = system.workers[0]
        victim.kill()
        limited = time.monotonic()
        time.sleep(LIMITED_SECONDS)
        tally.must(load.await_success(limited + LIMITED_SECONDS / 2) < LIMITED_SECONDS, "the other worker did nothing")
        # Killed by us, and since then neither refused for good nor in a loop.
        tally.must(len(victim.exit_codes) == 1, f"the refused worker ended with {victim.exit_codes[1:]}")
        servers.broker.ctl("clear_vhost_limits", "-p", vhost)
        cleared = time.monotonic()
        wait_until(lambda: system.consumers() == 2, SENT_SECONDS, "both workers consume again")
        tally.recovered_in = time.monotonic() - cleared
        load.finish()
        bound = scale.within(BACK_SECONDS)
        tally.must(tally.recovered_in < bound, f"the refused worker took {tally.recovered_in:.1f} s to come back")
        count(tally, system, load)
    return tally


def _limit(servers: Servers, vhost: str, system: System) -> None:
    """Let the vhost have no connection more than the front end and the worker that stays."""
    listed = servers.broker.ctl("list_connections", "--silent", "vhost").splitlines()
    each = sum(line.strip() == vhost for line in listed) // len(system.members)
    limit = f'{{"max-connections": {max(1, each)}}}'
    servers.broker.ctl("set_vhost_limits", "-p", vhost, limit)
