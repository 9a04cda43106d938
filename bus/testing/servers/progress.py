"""Progress output: on stderr, because stdout belongs to the command that is run."""

import sys


def report(text: str) -> None:
    """Write one line for the person who started the run, and flush it."""
    sys.stderr.write(f"bus.testing: {text}\n")
    sys.stderr.flush()
