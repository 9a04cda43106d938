"""`bus doctor`: checks everything that the services need, and says what is wrong and what to do.

One module for each thing that is checked; each yields findings. `examination.py` runs them in order, and leaves out
what is to be skipped. Only `bus.cli.doctor` imports this package. Start at `examination.py`.
"""

from bus.runtime.doctor.examination import CHECKS, examine
from bus.runtime.doctor.findings import Finding, ok, warning, wrong

__all__ = ["CHECKS", "Finding", "examine", "ok", "warning", "wrong"]
