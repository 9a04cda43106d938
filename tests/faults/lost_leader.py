"""F22: a cluster of three nodes loses the one that leads."""

import time
from collections.abc import Iterable
from itertools import pairwise

from faults.cluster import NODES, cluster_of_three, start
from faults.counting import count
from faults.load import DONE, Load
from faults.reads import Reads
from faults.scale import Scale
from faults.system import Servers, running
from faults.tally import Tally

# After their declaration, before the kill: quorum queues find their other members in the background.
SETTLED_SECONDS = 6.0
DOWN_SECONDS, AFTER_SECONDS = 20.0, 5.0
UNAVAILABLE_SECONDS = 10.0


def leader_killed(servers: Servers, scale: Scale) -> Tally:
    """The other two go on without it, and take it back. So do reads, whose queues are replicated here."""
    tally = Tally()
    with (
        cluster_of_three() as cluster,
        running(Servers(cluster, servers.database), workers=2, QUERY_QUEUES="quorum") as system,
        Reads(system.urls[0]).going_on() as reads,
    ):
        load = Load(system.urls, scale.creates).start()
        time.sleep(SETTLED_SECONDS)
        leader = cluster.leader_of(system.bus_url, "catalog.create_product")
        killed = time.monotonic()
        leader.kill()
        time.sleep(DOWN_SECONDS)
        until = time.monotonic()
        successes = [sample.at for sample in list(load.samples) if sample.status == DONE]
        gaps = {
            "created": _longest_gap(successes, killed, until),
            "read": _longest_gap(list(reads.answered), killed, until),
        }
        tally.recovered_in = max(gaps.values())
        for what, gap in gaps.items():
            tally.must(gap < UNAVAILABLE_SECONDS, f"nothing was {what} for {gap:.1f} s")
        start(leader, NODES)
        time.sleep(AFTER_SECONDS)
        load.finish()
        count(tally, system, load)
    return tally


def _longest_gap(moments: Iterable[float], begin: float, end: float) -> float:
    """The longest time without any of these moments between two others (time.monotonic())."""
    inside = sorted(moment for moment in moments if begin < moment < end)
    return max(later - earlier for earlier, later in pairwise([begin, *inside, end]))
