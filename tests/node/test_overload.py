"""A model with more inferences than it may have: `busy` for guests, 503 for clients whose guest gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.guests import build
from support.nodes import CONFIG, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

FUNCTION = """
[functions.must]
module = "must.wasm"
route = "/must/*"
models = ["linear"]
limits = { cpu_ms = 1000 }
"""


def test_an_overloaded_model_is_busy_inside_and_503_outside(tmp_path: Path) -> None:
    (tmp_path / "must.wasm").write_bytes(build("must.c"))
    config = CONFIG.replace('description = "y', 'queue = 0\ndescription = "y') + FUNCTION
    with running(tmp_path, config) as node:
        assert node.get("/ask/linear").text == "compute: 4\n", (
            "the guest learns of it and answers as it likes"
        )
        refused = node.get("/must/linear")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["code"] == "model-busy"
        assert node.get("/must/unknown").status == 502, (
            "what another try does not mend is the guest's failure"
        )
        node.reconfigure("queue = 0", "queue = 10")
        node.reload()
        assert node.get("/must/linear").text == "done\n"
