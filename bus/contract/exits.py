"""Exits: exceptions of a service's code that would end a thread of ours without a word, such as SystemExit."""

from collections.abc import Iterator
from contextlib import contextmanager


class Exited(Exception):
    """Code of a service raised SystemExit, KeyboardInterrupt or the like. Its author's fault, as any other error.

    `__cause__` is what it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__} ends neither a worker nor a request. Raise another error.")
        self.__cause__ = error


@contextmanager
def no_exits() -> Iterator[None]:
    """Put it around code of a service: what that raises is an Exception then. Raises Exited."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        raise Exited(error) from error
