"""What the test servers raise."""

# Of a log, in a ServerExited.
LOG_LINES_SHOWN = 15


class ProvisioningFailed(Exception):
    """A server or a program cannot be provided this way on this machine.

    The text says why, without a full stop. The machine's fault.
    """


class NotControllable(Exception):
    """The caller asked to control a server that was only given by its URL. The caller's fault."""


class ServerExited(Exception):
    """A server that we started did not come up, or has exited; the text ends with the last lines of its log."""
