"""A node's models as another node's remote models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.nodes import CONFIG, NodeProcess, prepare, running

if TYPE_CHECKING:
    from pathlib import Path

REMOTE = """
[models.linear]
kserve = {{ url = "http://{address}", model = "linear", protocol = "{protocol}", token_file = "token" }}
"""


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_function_calls_a_model_of_another_node(node: NodeProcess, tmp_path: Path, protocol: str) -> None:
    status = node.status()
    address = status.inference_url if protocol == "rest" else status.inference_grpc
    assert address
    (tmp_path / "token").write_text("acme-token")
    local, here = CONFIG.index("[models.linear]"), CONFIG.index("[functions.http]")
    remote = REMOTE.format(address=address.removeprefix("http://"), protocol=protocol)
    with running(prepare(tmp_path), CONFIG[:local] + remote + CONFIG[here:]) as other:
        other.until(lambda: other.model().state == "ready")
        assert other.get("/ask/linear").text == "3 5 7 9 \n"
        signature = other.model().signature
        assert signature is not None
        assert [str(spec) for spec in signature.inputs] == ["f32 [1,4]"]
