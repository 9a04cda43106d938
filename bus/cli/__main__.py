"""`python -m bus.cli` runs `bus`."""

from bus.cli import main

main()
