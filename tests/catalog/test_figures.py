from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wasmind.catalog.figures import Figures, Measured

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "ab" * 32


def measured(runtime: str, at: float, run_ms: float | None = 1.5) -> Measured:
    return Measured(runtime=runtime, load_ms=10, warm_up_ms=2, run_ms=run_ms, memory=1 << 20, at=at)


def test_figures_are_kept_from_one_start_to_the_next(tmp_path: Path) -> None:
    figures = Figures(tmp_path)
    assert figures.of(DIGEST) == ()
    old, new = measured("onnxruntime 1", 1), measured("openvino 2", 2)
    figures.put(DIGEST, "onnx", old)
    figures.put(DIGEST, "openvino", new)
    assert figures.of(DIGEST) == Figures(tmp_path).of(DIGEST) == (new, old), "the newest first"
    assert figures.of("cd" * 32) == ()


def test_the_newest_replaces_the_one_before(tmp_path: Path) -> None:
    figures = Figures(tmp_path)
    figures.put(DIGEST, "onnx", measured("a", 1))
    assert figures.of(DIGEST)[0].at == 1
    figures.put(DIGEST, "onnx", measured("a", 9, None))
    assert [one.at for one in figures.of(DIGEST)] == [9]


def test_what_is_no_version_has_none(tmp_path: Path) -> None:
    figures = Figures(tmp_path)
    assert figures.of("../../etc") == ()
    with pytest.raises(ValueError, match="SHA-256"):
        figures.put("../x", "onnx", measured("a", 1))


def test_what_cannot_be_read_is_measured_again(tmp_path: Path) -> None:
    (tmp_path / f"{DIGEST}-onnx.msgpack").write_bytes(b"\xc1")
    assert Figures(tmp_path).of(DIGEST) == ()
