"""Row 21: a model asks for native code of its own: a custom operator, a library, a session's settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper

from support.onnx_models import FLOAT, linear, model, node
from support.workers import served, spec_of
from wasmind.errors import ModelLoadFailed
from wasmind.worker.spawn import listen, spawn

if TYPE_CHECKING:
    from pathlib import Path


async def refusal(data: bytes, directory: Path) -> ModelLoadFailed:
    path = directory / "model.onnx"
    path.write_bytes(data)
    with listen(directory / "s.sock") as listener:
        process = await spawn(spec_of(path), listener)
        with pytest.raises(ModelLoadFailed) as caught:
            await process.ready()
        await process.wait()
        return caught.value


async def test_an_unknown_operator_is_refused_and_explained(tmp_path: Path) -> None:
    made = onnx.load_from_string(
        model([node("Evil", ["x"], ["y"], domain="evil.corp")], [("x", FLOAT, [2])], [("y", FLOAT, [2])])
    )
    made.opset_import.append(helper.make_opsetid("evil.corp", 1))
    error = await refusal(made.SerializeToString(), tmp_path)
    assert "Evil" in error.message
    assert "custom operator" in (error.cause or "")


@pytest.mark.parametrize("kind", ["EPContext", "PyOp", "ATen"])
async def test_operators_that_lead_out_of_the_graph_are_refused(tmp_path: Path, kind: str) -> None:
    made = onnx.load_from_string(
        model(
            [
                node(
                    kind,
                    ["x"],
                    ["y"],
                    domain="com.microsoft",
                    ep_cache_context="/etc/passwd",
                    embed_mode=0,
                    main_context=1,
                    operator="aten::system",
                    module="os",
                    class_name="system",
                )
            ],
            [("x", FLOAT, [2])],
            [("y", FLOAT, [2])],
        )
    )
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert (await refusal(made.SerializeToString(), tmp_path)).message


async def test_settings_that_come_with_the_model_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime would follow them where its environment says so; a worker's never does."""
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    made = onnx.load_from_string(linear())
    entry = made.metadata_props.add()
    entry.key = "ort_config"
    entry.value = json.dumps(
        {"session_options": {"intra_op_num_threads": 16, "profile_file_prefix": str(tmp_path / "canary")}}
    )
    async with served(made.SerializeToString(), tmp_path) as one:
        assert (await one.infer(np.ones((1, 4), np.float32)))[0].tolist() == [[3.0] * 4]
        usage = one.process.usage()
        assert usage is not None
        assert usage.threads == 2
    assert not list(tmp_path.glob("canary*"))
