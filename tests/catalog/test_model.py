from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from wasmind.catalog.digests import Digests
from wasmind.catalog.model import ModelRecord, read_model
from wasmind.config import KServe, Model
from wasmind.errors import ConfigError, InvalidEncoding, ModelLoadFailed

ONNX = b"\x08\x08\x3a\x02\x12\x00"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(ONNX)
    return path


def test_a_model_is_looked_at(net: Path) -> None:
    labels = net.with_name("labels.txt")
    labels.write_text("cat\ndog\n")
    config = Model(path=net, labels=labels, threads=2)
    record = read_model("net", config, Digests())
    assert (record.encoding, record.runtime, record.scope) == ("onnx", "onnx", "shared")
    assert [file.path for file in record.files] == [str(net)]
    assert record.digest == hashlib.sha256(ONNX).hexdigest()
    assert record.labels == ("cat", "dog")
    assert record.config is config
    assert record.id == f"shared/net@{record.digest[:16]}"


def test_another_content_is_another_model(net: Path) -> None:
    before = read_model("net", Model(path=net), Digests()).id
    net.write_bytes(ONNX + b"\x42\x00")
    assert read_model("net", Model(path=net), Digests()).id != before


def test_the_same_name_in_two_scopes_is_two_models(net: Path) -> None:
    ids = {
        read_model("net", Model(path=net, scope=scope), Digests()).id for scope in ("shared", "acme", "other")
    }
    assert len(ids) == 3


def test_a_model_elsewhere_has_no_files() -> None:
    here, there = (
        read_model("large", Model(kserve=KServe(url=url, model="resnet")), Digests())
        for url in ("http://a", "http://b")
    )
    assert (here.files, here.encoding, here.runtime) == ((), None, None)
    assert here.digest != there.digest


def test_a_record_can_be_stored(net: Path) -> None:
    record = read_model("net", Model(path=net), Digests())

    def hook(kind: type, value: object) -> object:
        return kind(value)

    data = msgspec.msgpack.encode(
        record, enc_hook=lambda value: int(value) if isinstance(value, int) else str(value)
    )
    assert msgspec.msgpack.decode(data, type=ModelRecord, dec_hook=hook) == record


@pytest.mark.parametrize(
    ("owner", "tenant", "usable"),
    [("shared", "acme", True), ("acme", "acme", True), ("acme", "other", False), ("acme", "shared", False)],
)
def test_who_may_use_it(owner: str, tenant: str, usable: bool, net: Path) -> None:
    assert read_model("net", Model(path=net, scope=owner), Digests()).usable_by(tenant) is usable


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"path": "gone.onnx"}, ModelLoadFailed, "gone.onnx cannot be read"),
        ({"encoding": "ggml"}, InvalidEncoding, "is not ggml"),
        ({"runtime": "tflite"}, InvalidEncoding, "does not read onnx"),
        ({"labels": "gone.txt"}, ConfigError, "labels file"),
    ],
)
def test_errors_name_the_model(change: dict[str, str], error: type[Exception], said: str, net: Path) -> None:
    paths = {
        key: net.with_name(value) if key in ("path", "labels") else value for key, value in change.items()
    }
    with pytest.raises(error, match=r"^models\.net: .*" + said):
        read_model("net", msgspec.structs.replace(Model(path=net), **paths), Digests())
