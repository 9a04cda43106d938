"""What a process does about its environment: signals, and its own end."""

import os
import signal
import sys
import threading
from typing import NoReturn

# After SIGTERM: time to finish the messages or requests that the process is working on.
DRAIN_SECONDS = 20


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


def end_now(code: int) -> NoReturn:
    """End this process at once, where threads that are not Python's live on and would abort its orderly end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
