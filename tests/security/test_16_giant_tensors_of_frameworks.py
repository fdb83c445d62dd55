"""Row 16, for the other frameworks: a tiny model makes giant tensors. Its request fails; the next works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from support import tflite_models, torchscript_models
from support.frameworks import needs
from support.workers import served
from wasmind.errors import ModelDied, NnCode, NnError

if TYPE_CHECKING:
    from pathlib import Path

HUGE, SMALL = np.array([1 << 15, 1 << 15], np.int32), np.array([2, 3], np.int32)  # 4 GiB of f32; 24 bytes


@pytest.mark.parametrize("runtime", ["tflite", "openvino"])
async def test_the_request_fails_and_the_next_one_is_answered(tmp_path: Path, runtime: str) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(tflite_models.tiled())
    settings: dict[str, Any] = {"encoding": "tensorflowlite", "runtime": runtime, "memory": 400 << 20}
    async with served(path, tmp_path, **settings, warm_up=False) as made:
        assert (await made.infer(SMALL))[0].shape == (2, 3)
        with pytest.raises(NnError) as caught:
            await made.infer(HUGE)
        assert caught.value.nn_code in (NnCode.RUNTIME_ERROR, NnCode.TOO_LARGE)
        if isinstance(caught.value, ModelDied):
            assert (await made.process.wait()).reason
            await made.restart()
        else:
            assert "memory" in caught.value.explain()
        # OpenVINO fails once more for the shape of the run before, until it has met another.
        assert (await made.infer(SMALL + 1))[0].tolist() == [[1.0] * 4] * 3
        assert (await made.infer(SMALL))[0].tolist() == [[1.0] * 3] * 2


@pytest.mark.slow
@needs("pytorch")
async def test_pytorch(tmp_path: Path) -> None:
    path = torchscript_models.write(tmp_path, "big", None)
    async with served(path, tmp_path, encoding="pytorch", runtime="pytorch", warm_up=False) as made:
        for _ in range(2):
            with pytest.raises(NnError) as caught:
                await made.infer(np.ones(1, np.float32))
            assert caught.value.nn_code is NnCode.TOO_LARGE
            assert "the model wanted 274877906944 bytes" in caught.value.explain()
