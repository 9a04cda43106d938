"""Orphans: a process of ours whose parent was killed ends too, rather than keep its port from the next one."""

import os
import threading
import time

# Sooner than any supervisor starts the parent again (`bus run` waits a second).
LOOK_SECONDS = 0.2


def end_with_parent() -> None:
    """Watch, in a thread, whether the parent of this process lives, and end with it."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="orphan", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    # At once, as the parent did: whoever ends a front end in order ends the parent in order, and it ends us.
    os._exit(1)
