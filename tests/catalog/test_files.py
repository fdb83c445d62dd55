from __future__ import annotations

import os
from pathlib import Path

import pytest

from wasmind.catalog import files
from wasmind.catalog.files import ModelFile, files_of
from wasmind.errors import InvalidEncoding, ModelLoadFailed


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(found: tuple[ModelFile, ...]) -> list[tuple[str, str]]:
    return [(os.path.basename(file.path), file.role) for file in found]


# --- a file -------------------------------------------------------------------------------------------------


def test_a_file_alone(tmp_path: Path) -> None:
    net = put(tmp_path / "net.onnx")
    put(tmp_path / "other.onnx")
    put(tmp_path / "net.txt")
    put(tmp_path / "network.bin")
    assert files_of(net) == (ModelFile(str(net), "model"),)


def test_what_stands_beside_it_under_its_name(tmp_path: Path) -> None:
    for name in ("net.onnx", "net.onnx.data", "net.onnx_data", "net.weights", "net.data", "net.bin"):
        put(tmp_path / name)
    assert names(files_of(tmp_path / "net.onnx")) == [
        ("net.onnx", "model"),
        ("net.bin", "weights"),
        ("net.data", "data"),
        ("net.onnx.data", "data"),
        ("net.onnx_data", "data"),
        ("net.weights", "data"),
    ]


def test_weights_of_another_name(tmp_path: Path) -> None:
    net, weights = put(tmp_path / "net.xml"), put(tmp_path / "elsewhere/w.bin")
    put(tmp_path / "net.bin")
    assert names(files_of(net, weights=weights)) == [
        ("net.xml", "model"),
        ("w.bin", "weights"),
        ("net.bin", "data"),
    ]


def test_the_operator_may_name_a_link(tmp_path: Path) -> None:
    real = put(tmp_path / "store/abc.onnx")
    (tmp_path / "net.onnx").symlink_to(real)
    assert files_of(tmp_path / "net.onnx") == (ModelFile(str(real), "model"),), "recorded as what it leads to"


@pytest.mark.parametrize("make", ["fifo", "empty", "missing", "loop", "not utf-8"])
def test_what_is_no_model_file(make: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    match make:
        case "fifo":
            os.mkfifo(path)
        case "empty":
            put(path, b"")
        case "loop":
            path.symlink_to(path)
        case "not utf-8":
            path.symlink_to(put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.onnx"))))
    with pytest.raises(ModelLoadFailed) as caught:
        files_of(path)
    assert caught.value.remedy


# --- a directory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["model.onnx", "model.xml", "model.pt", "model.tflite", "model.gguf", "only.onnx"]
)
def test_the_one_model_of_a_directory(name: str, tmp_path: Path) -> None:
    put(tmp_path / name)
    put(tmp_path / "README.md")
    assert names(files_of(tmp_path)) == [(name, "model"), ("README.md", "data")]


def test_an_openvino_directory(tmp_path: Path) -> None:
    put(tmp_path / "model.xml")
    put(tmp_path / "model.bin")
    assert names(files_of(tmp_path)) == [("model.xml", "model"), ("model.bin", "weights")]


def test_a_saved_model(tmp_path: Path) -> None:
    put(tmp_path / "saved_model.pb")
    put(tmp_path / "variables/variables.index")
    put(tmp_path / "variables/variables.data-00000-of-00001")
    found = files_of(tmp_path, "tensorflow")
    assert [os.path.relpath(file.path, tmp_path) for file in found] == [
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


def test_the_canonical_name_goes_before_another(tmp_path: Path) -> None:
    put(tmp_path / "model.onnx")
    put(tmp_path / "older.onnx")
    assert names(files_of(tmp_path))[0] == ("model.onnx", "model")


def test_several_models_want_a_word(tmp_path: Path) -> None:
    put(tmp_path / "model.onnx")
    put(tmp_path / "model.xml")
    with pytest.raises(InvalidEncoding, match="several models") as caught:
        files_of(tmp_path)
    assert "model.onnx and model.xml" in caught.value.explain()
    assert names(files_of(tmp_path, "openvino"))[0] == ("model.xml", "model")


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        ([], "autodetect", "it holds nothing"),
        (["README.md"], "autodetect", "it holds README.md"),
        (["model.onnx"], "openvino", "there is no model.xml"),
        ([f"{number}.txt" for number in range(9)], "autodetect", "0.txt, 1.txt, 2.txt, 3.txt, 4.txt, …"),
    ],
)
def test_a_directory_without_a_model(content: list[str], encoding: str, said: str, tmp_path: Path) -> None:
    for name in content:
        put(tmp_path / name)
    with pytest.raises(ModelLoadFailed, match="holds no model") as caught:
        files_of(tmp_path, encoding)  # type: ignore[arg-type] # the parameters above are its words
    assert said in caught.value.explain()


def test_a_crowded_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 5)
    for number in range(6):
        put(tmp_path / f"deep/{number}")
    put(tmp_path / "model.onnx")
    with pytest.raises(ModelLoadFailed, match="more than 5 files"):
        files_of(tmp_path)


# --- links that a model brings ------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("link", ["symbolic", "hard", "directory", "fifo"])
def test_links_are_left_out(link: str, whole: bool, tmp_path: Path) -> None:
    secret = put(tmp_path / "secret/passwords", b"canary")
    net = put(tmp_path / "net/model.onnx")
    beside = tmp_path / "net/model.onnx.data"
    match link:
        case "symbolic":
            beside.symlink_to(secret)
        case "hard":
            beside.hardlink_to(secret)
        case "directory":
            beside.symlink_to(secret.parent)
        case "fifo":
            os.mkfifo(beside)
    assert files_of(net.parent if whole else net) == (ModelFile(str(net), "model"),)


def test_names_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    net = put(tmp_path / "net.onnx")
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/net.onnx.\xff")))
    assert files_of(net) == (ModelFile(str(net), "model"),)
