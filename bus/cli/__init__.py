"""The command line `bus`: one module for each command; `common.py` for what they share, `operating.py` for operators.

The commands parse options, read the settings and print; what they do is in the other packages, all of which they may
import. Nothing imports `bus.cli`, except the entry point of the program. Start at `entry_point.py`, which has the list
of commands, and the exit code of each kind of error. Services use `service_work` and `service_client`
for commands of their own, and `import_file` for one that imports.
"""

from typing import TYPE_CHECKING

from bus import lazy_exports
from bus.cli.entry_point import bus, main

if TYPE_CHECKING:
    from bus.cli.common import service_client, service_work
    from bus.cli.imports import import_file, import_options

__all__ = ["bus", "import_file", "import_options", "main", "service_client", "service_work"]

__getattr__ = lazy_exports(
    __name__,
    {
        "bus.cli.common": ("service_client", "service_work"),
        "bus.cli.imports": ("import_file", "import_options"),
    },
)
