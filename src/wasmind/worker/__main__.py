"""The process's entry."""

import sys

from wasmind.worker.main import main

sys.exit(main(sys.argv[1:]))
