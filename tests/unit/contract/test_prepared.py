"""Prepared classes: many threads may decode a class for the first time at the same moment."""

import subprocess
import sys

# Each round has a class of its own, which sixteen threads use for the first time together. Without the preparation
# some process of these ends with a segmentation fault.
PROGRAM = """
import sys, threading
from typing import Annotated
import msgspec
from bus.contract.operations import Command, Reply
from bus.contract.validation import accept

sys.setswitchinterval(1e-6)

class Made(Reply):
    id: int

for number in range(200):
    class Make(Command[Made], name=f"test.make_{number}"):
        name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
        price: Annotated[int, msgspec.Meta(ge=0)]
        note: Annotated[str, msgspec.Meta(max_length=9)] | msgspec.UnsetType = msgspec.UNSET

    gate = threading.Barrier(16)

    def use():
        gate.wait()
        accept({"name": "Lamp", "price": 1}, Make)

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_many_threads_at_once_may_be_the_first_to_use_a_class() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
