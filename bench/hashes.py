"""Hashes: how many passwords all cores of this machine hash when they do nothing else: `python -m bench.hashes`."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from auth.domain.passwords import hash_password


def main(seconds: float) -> None:
    """Print how many in each second, and the CPU milliseconds of one."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        began = time.monotonic()
        done = sum(pool.map(_hash_until, [began + seconds] * threads))
        print(done / (time.monotonic() - began), 1000 * time.process_time() / done)


def _hash_until(end: float) -> int:
    done = 0
    while time.monotonic() < end:
        hash_password("correct horse battery staple")
        done += 1
    return done


if __name__ == "__main__":
    main(float(sys.argv[1]))
