"""What may come of a mail beside that it was sent."""


class MailPostponed(Exception):
    """It cannot be sent now, and may be later: the server is away or busy. The message says why."""


class MailRefused(Exception):
    """The server will never take it, such as for an address that it does not have. The message says why."""
