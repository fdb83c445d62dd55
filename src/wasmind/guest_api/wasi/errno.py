"""The error numbers of `wasi_snapshot_preview1` that a platform without files can answer (typenames.witx,
`$errno`).
"""

from __future__ import annotations

SUCCESS = 0
BADF = 8
FAULT = 21
INVAL = 28
IO = 29
NOTDIR = 54
NOTSOCK = 57
NOTSUP = 58
PIPE = 64
SPIPE = 70
