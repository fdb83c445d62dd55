"""All benchmarks in one run: `python -m benchmarks`; or some: `python -m benchmarks serve sandbox`."""

from __future__ import annotations

import runpy
import sys

ALL = ("serve", "components", "isolation", "sandbox", "waiting", "remote", "life", "oip")

if __name__ == "__main__":
    for _name in sys.argv[1:] or ALL:
        print(f"\n=== {_name} " + "=" * (70 - len(_name)), flush=True)
        sys.argv = [f"benchmarks.{_name}"]
        runpy.run_module(f"benchmarks.{_name}", run_name="__main__")
