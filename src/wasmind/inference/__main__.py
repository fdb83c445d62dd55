"""`python -m wasmind.inference FD`: the inference process; FD is its end of the supervisor's channel."""

from __future__ import annotations

import sys

from wasmind.inference.serving import Serving
from wasmind.node.process import serve

if __name__ == "__main__":
    sys.exit(serve(int(sys.argv[1]), Serving))
