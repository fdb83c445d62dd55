"""Every promise of the specification names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SPECIFICATION.md").read_text()
ROWS = [
    row for row in re.findall(r"^\| (.*) \| (.*) \|$", PAGE, re.MULTILINE) if row[0] not in ("promise", "---")
]


@pytest.mark.parametrize(("promise", "held_by"), ROWS)
def test_a_promise_is_held_by_tests(promise: str, held_by: str) -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", held_by)
    assert files, promise
    for file in files:
        assert "def test_" in (ROOT / file).read_text(), file
