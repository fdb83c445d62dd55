"""The reference pages that are read off the code are what the code says now."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = runpy.run_path(str(DOCS / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == PAGES[name](), "run: python docs/generate.py"


def test_the_pages_tell_what_exists() -> None:
    assert "## `wasmind serve`" in PAGES["cli.md"]()
    assert "| `guest-trap` | 502 |" in PAGES["errors.md"]()
