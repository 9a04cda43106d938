"""Unavailable: why a part (a broker, a database) cannot be had here."""


class Unavailable(Exception):
    """This way to a part is closed; the text says why, without a full stop. The fault of the machine."""


class NotOurs(Exception):
    """The caller asked to control a server that was only given to us by its address. The fault of the caller."""


class ServerEnded(Exception):
    """A server of ours did not come up, or ended by itself; the text ends with the last lines of its log."""
