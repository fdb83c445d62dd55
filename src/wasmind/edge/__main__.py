"""`python -m wasmind.edge FD`: one edge worker; FD is its end of the supervisor's control channel."""

from __future__ import annotations

import sys

from wasmind.edge.main import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
