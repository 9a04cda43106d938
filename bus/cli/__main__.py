"""`python -m bus.cli` is `bus`."""

from bus.cli import main

main()
