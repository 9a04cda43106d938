"""Notice: a line for the person who started the run, on stderr, because stdout belongs to what is run."""

import sys


def notice(text: str) -> None:
    """Write one line at once."""
    sys.stderr.write(f"bus.testing: {text}\n")
    sys.stderr.flush()
