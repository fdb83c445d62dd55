from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.onnx_models import linear
from wasmind import config
from wasmind.catalog import conversions
from wasmind.catalog.digests import Digests
from wasmind.catalog.files import ModelFile
from wasmind.catalog.model import ModelRecord, read_model
from wasmind.errors import ModelLoadFailed, PackageMissing
from wasmind.node.plan import plan_model
from wasmind.worker.spec import WorkerSpec

if TYPE_CHECKING:
    from pathlib import Path


def record(tmp_path: Path, **settings: Any) -> ModelRecord:
    (tmp_path / "m.onnx").write_bytes(linear())
    read = config.parse({"models": {"m": {"path": "m.onnx", **settings}}}, tmp_path)
    return read_model("m", read.models["m"], Digests())


def inputs(*steps: object, name: str = "x") -> dict[str, Any]:
    return {"inputs": {name: {"convert": list(steps)}}}


def text(file: str) -> dict[str, Any]:
    return inputs({"text": {"tokenizer": file}}, name="t")


def test_conversions_make_another_version(tmp_path: Path) -> None:
    plain, same = record(tmp_path), record(tmp_path, description="another one")
    one, two = record(tmp_path, **inputs("add_batch")), record(tmp_path, **inputs({"cast": "u8"}))
    assert plain.digest == same.digest == Digests().of_model(plain.files)
    assert len({plain.digest, one.digest, two.digest}) == 3
    assert record(tmp_path, **inputs("add_batch")).digest == one.digest


def test_labels_count_where_they_are_told(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\nd\n")
    best: dict[str, Any] = {"outputs": {"y": {"convert": ["top_k"]}}, "labels": "labels.txt"}
    softmax: dict[str, Any] = {"outputs": {"y": {"convert": ["softmax"]}}, "labels": "labels.txt"}
    before, plain = record(tmp_path, **best), record(tmp_path, **softmax)
    spec = plan_model(before).spec
    assert isinstance(spec, WorkerSpec)
    assert spec.conversions is not None
    assert spec.conversions.labels == ("a", "b", "c", "d")
    labels.write_text("a\nb\nc\nD\n")
    assert record(tmp_path, **best).digest != before.digest
    assert record(tmp_path, **softmax).digest == plain.digest


def test_a_tokenizer_is_one_of_the_models_files(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text("{}")
    found = record(tmp_path, **text("t.json"))
    assert found.files[1:] == (ModelFile(str(file), "tokenizer"),)
    file.write_text("{ }")
    changed = record(tmp_path, **text("t.json"))
    assert changed.digest != found.digest
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/t.json").symlink_to(file)
    assert record(tmp_path, **text("elsewhere/t.json")).files == changed.files, "the operator may link"


def test_a_tokenizer_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="tokenizer") as caught:
        record(tmp_path, **text("t.json"))
    assert "text.tokenizer" in caught.value.explain()
    with pytest.raises(ModelLoadFailed, match="no regular file"):
        record(tmp_path, **text("."))


def test_a_model_without_conversions_has_none_in_its_process(tmp_path: Path) -> None:
    spec = plan_model(record(tmp_path)).spec
    assert isinstance(spec, WorkerSpec)
    assert spec.conversions is None


def test_a_missing_package_is_told_before_any_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversions, "find_spec", lambda _: None)
    with pytest.raises(PackageMissing, match="`image` needs the package pillow") as caught:
        record(tmp_path, **inputs("image"))
    assert caught.value.remedy == "pip install 'wasmind[image]'"
    assert record(tmp_path, **inputs("add_batch")), "numbers need nothing"
