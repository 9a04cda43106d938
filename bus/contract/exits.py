"""Exits: exceptions of a service's code that would end a thread of ours without a word, such as SystemExit."""


class Exited(Exception):
    """Code of a service raised SystemExit, KeyboardInterrupt or the like. Its author's fault, as any other error.

    `__cause__` is what it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__} ends neither a worker nor a request. Raise another error.")
        self.__cause__ = error


class NoExits:
    """`with no_exits:` around code of a service: what it raises is an Exception then."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raises Exited."""
        if error is not None and not isinstance(error, Exception):
            raise Exited(error)


no_exits = NoExits()
