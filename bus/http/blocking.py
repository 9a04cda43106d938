"""Views that may block: those of a team's own blueprint run in threads, and the event loop serves others meanwhile."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import Any, TypeVar

from flask import Blueprint, Flask
from greenlet import getcurrent

from bus.contract.problems import Unavailable
from bus.messaging.waiting import Task

F = TypeVar("F", bound=Callable[..., Any])

# Views of one front end that may run at the same time, each in a thread; one more is refused at once.
THREADS = 64
_MARK = "bus_never_blocks"


def never_blocks(view: F) -> F:
    """Mark a view of a blueprint that waits for nothing but `relay` and the client's calls.

    It then runs on the event loop, as the routes of the contract do, and costs no thread. A marked view that blocks
    all the same stops its whole front end.
    """
    setattr(view, _MARK, True)
    return view


def register_views(app: Flask, routes: Blueprint) -> None:
    """Register a blueprint, and run its views in threads unless they are marked."""
    before = set(app.view_functions)
    app.register_blueprint(routes)
    threads = _Threads()
    for endpoint in app.view_functions.keys() - before:
        view = app.view_functions[endpoint]
        if not getattr(view, _MARK, False):
            app.view_functions[endpoint] = threads.running(view)


class _Threads:
    """The threads of one front end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="view")
        self._free = threading.Semaphore(THREADS)

    def running(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """The view, run in a thread if a task calls it. Raises Unavailable when no thread is free."""

        @wraps(view)
        def run(**fields: Any) -> Any:
            task = getcurrent()
            if not isinstance(task, Task):  # Flask's test client, or another WSGI server
                return view(**fields)
            if not self._free.acquire(blocking=False):
                raise Unavailable("too-many-in-flight", f"{THREADS} requests that may block are in progress already.")
            try:
                # Flask keeps its request in context variables.
                work = partial(contextvars.copy_context().run, view, **fields)
                return task.result_of(task.hub.loop.run_in_executor(self._pool, work))
            finally:
                self._free.release()

        return run
