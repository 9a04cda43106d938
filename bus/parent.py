"""The parent: how a process ends when the one that started it has died, even by SIGKILL."""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

# The variable in which a process gives its own id to one that it starts, and that should end with it.
SUPERVISOR = "BUS_SUPERVISOR_PID"

# Between two checks whether the parent lives. Shorter than any supervisor takes to start the parent again
# (`bus run` waits a second).
PARENT_CHECK_SECONDS = 0.2


def end_with_supervisor(environment: Mapping[str, str]) -> None:
    """Start a thread that ends this process when the supervisor that started it has died; nothing if none did.

    At once, because the supervisor was killed, and may be started again: one that ends in order stops this one first.
    """
    _when_orphaned(environment, partial(os._exit, 1))


def stop_with_supervisor(environment: Mapping[str, str]) -> None:
    """The same for a process that nothing else starts again: it gets SIGTERM, and so ends in order."""
    _when_orphaned(environment, partial(os.kill, os.getpid(), signal.SIGTERM))


def _when_orphaned(environment: Mapping[str, str], end: Callable[[], object]) -> None:
    supervisor = environment.get(SUPERVISOR)
    if supervisor is not None and supervisor.isdecimal():
        threading.Thread(target=_watch, args=(int(supervisor), end), name="parent-watch", daemon=True).start()


def _watch(parent: int, end: Callable[[], object]) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    end()
