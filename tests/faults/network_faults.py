"""F11, F12 and F20: a network that swallows everything, and a crowd that comes back."""

import json
import subprocess
import sys
import time

from bus.client.client import ANSWER_SECONDS
from bus.messaging.rabbitmq.reconnecting import HEARTBEAT_SECONDS
from bus.testing.waiting import wait_until
from faults.caller import Sample
from faults.census import Census
from faults.counting import count, count_dead
from faults.load import Load
from faults.proxy import Proxy, port_of, through
from faults.scale import Scale
from faults.system import TESTS, Servers, made_of, running
from faults.tally import Tally

BEFORE_SECONDS = 1.0
SHORT_HOLE_SECONDS, LONG_HOLE_SECONDS = 5.0, 30.0
BACK_SECONDS = 10.0
# An answer may be this much later than the front end's deadline.
LATE_SECONDS = 0.5
CROWD_SECONDS = 30.0


def worker_in_a_black_hole(servers: Servers, scale: Scale) -> Tally:
    """One worker of two has messages in hand, and is not heard any more."""
    tally = Tally()
    proxy = Proxy(port_of(servers.broker.url))
    with made_of(servers) as system:
        system.add_worker(BUS_URL=through(proxy, system.bus_url))
        system.add_worker()
        system.add_front()
        system.wait_until_ready()
        load = Load(system.urls, scale.creates).start()
        time.sleep(BEFORE_SECONDS)
        _hole(proxy, scale.of(SHORT_HOLE_SECONDS, 1.0))
        time.sleep(BEFORE_SECONDS)
        fell_silent = time.monotonic()
        proxy.hold()
        wait_until(lambda: system.consumers() == 1, LONG_HOLE_SECONDS, "the broker has given the silent worker up")
        noticed = time.monotonic() - fell_silent
        time.sleep(max(0.0, LONG_HOLE_SECONDS - noticed))
        released = time.monotonic()
        proxy.release()
        wait_until(lambda: system.consumers() == 2, BACK_SECONDS, "the worker consumes again")
        tally.recovered_in = time.monotonic() - released
        load.finish()
        tally.note(f"given up after {noticed:.1f} s of silence")
        # RabbitMQ looks once in each heartbeat, and gives up at the second look that finds silence.
        tally.must(noticed < 3 * HEARTBEAT_SECONDS, f"silence was noticed after {noticed:.1f} s")
        count(tally, system, load)
    proxy.close()
    return tally


def front_end_in_a_black_hole(servers: Servers, scale: Scale) -> Tally:
    """Whoever asks the front end is answered in time, whatever the broker does."""
    tally = Tally()
    proxy = Proxy(port_of(servers.broker.url))
    with made_of(servers) as system:
        system.add_worker()
        system.add_front(BUS_URL=through(proxy, system.bus_url))
        system.wait_until_ready()
        load = Load(system.urls, scale.creates, clients=scale.crowd).start()
        time.sleep(BEFORE_SECONDS)
        _hole(proxy, SHORT_HOLE_SECONDS)
        time.sleep(BEFORE_SECONDS)
        _hole(proxy, LONG_HOLE_SECONDS)
        back = time.monotonic()
        tally.recovered_in = load.await_success(back)
        load.finish()
        slowest: Sample = max((*load.samples, *load.questions), key=lambda sample: sample.seconds)
        tally.note(f"the slowest answer came after {slowest.seconds:.2f} s: {slowest.status} {slowest.code}")
        bound = scale.within_crowd(ANSWER_SECONDS + LATE_SECONDS)
        tally.must(slowest.seconds < bound, f"an answer came after {slowest.seconds:.2f} s")
        count(tally, system, load)
    proxy.close()
    return tally


def crowd_reconnects(servers: Servers, scale: Scale) -> Tally:
    """Clients lose the broker in one moment, while they wait for answers. They come back, and not in one moment."""
    tally = Tally()
    with running(servers) as system:
        command = (sys.executable, "-m", "faults.crowd", system.bus_url, str(scale.crowd))
        with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as crowd:
            try:
                assert crowd.stdout is not None
                assert crowd.stdout.readline() == "connected\n"
                servers.broker.stop()
                servers.broker.start()
                back = time.time()
                told = json.loads(crowd.communicate()[0])
            finally:
                crowd.kill()
        census = Census(system.database_url)
        tally.count(told["attempted"], told["answered"], census)
        tally.must(not told["failures"], f"without an answer: {told['failures'][:5]}")
        wrong = [name for name, product_id in told["answered"].items() if census.id_of(name) != product_id]
        tally.must(not wrong, f"the id in its answer is another product's: {wrong[:5]}")
        count_dead(tally, system)
    times = sorted(moment - back for moment in told["back"])
    quickly = sum(moment < CROWD_SECONDS for moment in times)
    tally.must(quickly == scale.crowd, f"{quickly} of {scale.crowd} came back within {CROWD_SECONDS:g} s")
    tally.recovered_in = times[-1]
    most = max(sum(begin <= moment < begin + 0.2 for moment in times) for begin in times)
    tally.note(f"back from {times[0]:.1f} to {times[-1]:.1f} s, at most {most} within any 0.2 s")
    tally.must(most < len(times) / 2, f"{most} of {len(times)} came back within 0.2 s")
    return tally


def _hole(proxy: Proxy, seconds: float) -> None:
    proxy.hold()
    time.sleep(seconds)
    proxy.release()
