"""`python -m wasmind.edge FD`: one edge worker; FD is its end of the supervisor's control channel."""

from __future__ import annotations

import sys

from wasmind.edge.serving import Serving
from wasmind.node.process import serve

if __name__ == "__main__":
    sys.exit(serve(int(sys.argv[1]), Serving))
