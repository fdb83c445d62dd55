"""A row of the table of wordings, and remedies that several rows have."""

from __future__ import annotations

import re
from typing import NamedTuple


class Row(NamedTuple):
    """A pattern, and an explanation in which `{0}`, `{1}`, … are its groups."""

    pattern: re.Pattern[str]
    meaning: str
    remedy: str


def row(pattern: str, meaning: str, remedy: str) -> Row:
    """A row whose pattern is compiled."""
    return Row(re.compile(pattern), meaning, remedy)


SEND_DECLARED = "send what the model declares (`wasmind models show` prints it)"
EXPORT_AGAIN = "export the model again, or check that the whole file arrived (its size or checksum)"
LESS = "send a smaller input or batch, or raise models.NAME.memory"
TOGETHER = "check the dimensions that the model leaves open: the inputs do not go together"
