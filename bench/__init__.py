"""The benchmark: this system beside the way a tutorial would build it, in one run on one machine."""
