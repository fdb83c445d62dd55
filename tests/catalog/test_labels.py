from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.catalog import labels
from wasmind.errors import ConfigError
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.nn.tensor import TensorType


def read(tmp_path: Path, text: str | bytes) -> tuple[str, ...]:
    path = tmp_path / "labels"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return labels.read(path)


def giving(*dims: tuple[Dim, ...] | None) -> Signature:
    outputs = tuple(TensorSpec(f"y{index}", TensorType.F32, shape) for index, shape in enumerate(dims))
    return Signature((TensorSpec("x", TensorType.F32, ("N", 4)),), outputs)


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\n",
        "cat\ndog",
        " cat \r\ndog\r\n\n",
        "\ufeffcat\ndog\n",
        '["cat", "dog"]',
        '\n{"1": "dog", "0": "cat"}',
    ],
)
def test_shapes_of_a_labels_file(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == ("cat", "dog")


def test_an_empty_line_within_keeps_its_position(tmp_path: Path) -> None:
    assert read(tmp_path, "cat\n\ndog\n") == ("cat", "", "dog")


@given(st.lists(st.text(min_size=1), min_size=1))
def test_json_gives_back_any_labels(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "labels.json"
    path.write_text(json.dumps(values))
    assert labels.read(path) == tuple(values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("[]", "is empty"),
        ("[1, 2]", "Expected `str`"),
        ('{"0": "cat", "2": "dog"}', "not 0 to 1"),
        ('{"cat": "0"}', "invalid literal"),
        ('["cat"', "truncated"),
        (b"\xff\xfe", "decode"),
    ],
)
def test_no_labels(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in caught.value.explain()
    assert "one label per line" in (caught.value.remedy or "")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        labels.read(tmp_path / "labels.txt")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    with path.open("wb") as file:
        file.truncate(labels.MAX_SIZE + 1)
    with pytest.raises(ConfigError, match="over 16 MiB"):
        labels.read(path)


@pytest.mark.parametrize("shape", [(1, 2), ("N", 2), (2,), ("N", 7, 2), ("N", "classes"), None, (None, 5)])
def test_labels_that_fit(shape: tuple[Dim, ...] | None) -> None:
    labels.check("m", ("cat", "dog"), giving(shape))
    labels.check("m", ("cat", "dog"), giving((1, 9), shape))


def test_labels_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"models\.m: there are 2 labels") as caught:
        labels.check("m", ("cat", "dog"), giving((1, 1000), (1, 4)))
    assert "y0: f32 [1,1000], y1: f32 [1,4]" in caught.value.explain()


def test_no_labels_fit_everything() -> None:
    labels.check("m", (), giving((1, 1000)))
