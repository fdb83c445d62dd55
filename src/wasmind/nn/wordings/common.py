"""Wordings that come from beneath a framework."""

from __future__ import annotations

from wasmind.nn.wordings.row import LESS, Row, row

ROWS: tuple[Row, ...] = (
    row(
        r"(?i)bad[_ ]alloc|out of memory|Cannot allocate memory",
        "the model's process is out of memory",
        LESS,
    ),
)
