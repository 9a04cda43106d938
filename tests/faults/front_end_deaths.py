"""F5: front ends that die."""

from bus.testing.waiting import wait_until
from faults.caller import NO_ANSWER, Caller
from faults.counting import count
from faults.load import UNAVAILABLE, Load, key_of, product_named
from faults.scale import Scale
from faults.system import Servers, System, running
from faults.tally import Tally

READY_SECONDS = 20.0
# Of so many products the answer is asked for once more.
ASKED_AGAIN = 50


def after_confirm(servers: Servers, scale: Scale) -> Tally:
    """The broker has the command, its caller is told nothing; the same key gets the answer from another process."""
    tally = Tally()
    with running(servers) as system:
        system.add_front(BUS_FAILPOINT=f"client.after-confirm:{scale.of(200, 50)}")
        mortal = system.fronts[1]
        wait_until(mortal.is_ready, READY_SECONDS, "the second front end is ready")
        load = Load([mortal.url], scale.creates, allows=frozenset({NO_ANSWER, UNAVAILABLE}))
        load.run()
        lost_answers = sum(sample.status == NO_ANSWER for sample in load.samples)
        tally.must(lost_answers > 0, "the front end never died, so the row shows nothing")
        count(tally, system, load)
        _ask_again(tally, system, load)
    return tally


def _ask_again(tally: Tally, system: System, load: Load) -> None:
    """The other front end, which has never died, must give the same answers."""
    caller = Caller(system.urls[:1])
    for name, product_id in list(load.answers.items())[:ASKED_AGAIN]:
        again = caller.post("/products", product_named(name), key_of(name))
        same = again.status == 201 and again.body["product"]["id"] == product_id
        tally.must(same, f"{name} was answered otherwise by another front end: {again.status} {again.body}")
    caller.close()
