"""What a process does about its environment: signals, a parent that has died, threads that wait for each other."""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

# The variable in which a supervisor gives its own process id to the processes that it starts.
SUPERVISOR = "BUS_SUPERVISOR_PID"

# After SIGTERM: time to finish the messages or requests that the process is working on.
DRAIN_SECONDS = 20

# Between two checks whether the parent lives. Shorter than any supervisor takes to start the parent again
# (`bus run` waits a second).
PARENT_CHECK_SECONDS = 0.2

# Python's 5 ms suits programs that compute. Here a few threads hand messages to one I/O thread, and
# each handing over would wait that long for a busy neighbour: with 0.5 ms, reads over HTTP went from
# 1356 to 1542 a second and their 99th percentile from 41 to 25 ms on the machine it was measured on.
SWITCH_SECONDS = 0.0005


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM, SIGINT and the end of the terminal (SIGHUP) set, for the main thread to wait on."""
    stopping = threading.Event()
    reader, writer = os.pipe()
    # A handler interrupts whatever the main thread does, with its locks held, so it only writes to the pipe:
    # Event.set() there would block for ever on a second Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda *_: os.write(writer, b"."))

    def wait_for_signal() -> None:
        os.read(reader, 1)
        stopping.set()

    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
    return stopping


def ignore_signals() -> None:
    """Ignore SIGTERM and SIGINT from now on: another Ctrl-C would kill an interpreter that is about to exit."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def end_with_supervisor(environment: Mapping[str, str]) -> None:
    """The same for a process that a supervisor has started, should that one have ended in the meantime."""
    supervisor = environment.get(SUPERVISOR)
    if supervisor is not None and supervisor.isdecimal():
        threading.Thread(target=_watch, args=(int(supervisor),), name="parent-watch", daemon=True).start()


def end_with_parent() -> None:
    """Start a thread that ends this process when its parent has died."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    # At once, because the parent was killed: a parent that ends in order stops this process first.
    os._exit(1)


def switch_threads_soon() -> None:
    """Set the interpreter's switch interval for a process that serves messages."""
    sys.setswitchinterval(SWITCH_SECONDS)
