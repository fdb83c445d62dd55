from __future__ import annotations

from pathlib import Path

import pytest

from wasmind import config
from wasmind.catalog.catalog import Catalog, read_catalog
from wasmind.catalog.digests import Digests
from wasmind.errors import ConfigError, ModelLoadFailed

ONNX = b"\x08\x08\x3a\x02\x12\x00"


def read(root: Path, text: str) -> Catalog:
    (root / "wasmind.toml").write_text(text)
    return read_catalog(config.load(root / "wasmind.toml"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "nets/MobileNet").mkdir(parents=True)
    (tmp_path / "nets/MobileNet/model.onnx").write_bytes(ONNX)
    (tmp_path / "eye.xml").write_bytes(b"<net></net>")
    (tmp_path / "w.bin").write_bytes(b"weights")
    (tmp_path / "f.wasm").write_bytes(b"\0asm\x01\0\0\0")
    return tmp_path


def test_a_node(root: Path) -> None:
    found = read(
        root,
        """
        preload = ["nets/MobileNet", "eye:OpenVINO:CPU:eye.xml:w.bin"]
        [models.remote]
        kserve = { url = "http://models.internal", model = "resnet" }
        [functions.f]
        module = "f.wasm"
        route = "/f"
        models = ["MobileNet", "remote"]
        """,
    )
    assert set(found.models) == {"MobileNet", "eye", "remote"}
    assert found.models["MobileNet"].encoding == "onnx"
    assert [file.role for file in found.models["eye"].files] == ["model", "weights"]
    assert found.functions["f"].grants == {name: found.models[name].id for name in ("MobileNet", "remote")}


def test_one_error_stays_itself(root: Path) -> None:
    with pytest.raises(ModelLoadFailed, match=r"models\.a"):
        read(root, '[models.a]\npath = "gone.onnx"')


def test_several_errors_are_told_at_once(root: Path) -> None:
    text = '[models.a]\npath = "gone.onnx"\n[models.b]\npath = "w.bin"\n'
    text += '[functions.f]\nmodule = "gone.wasm"\nroute = "/"\nmodels = ["a"]\n'
    with pytest.raises(ConfigError, match="2 models or functions cannot be used") as caught:
        read(root, text)
    assert "models.a: " in caught.value.explain()
    assert "models.b: " in caught.value.explain()


def test_a_tenants_model_is_not_granted_to_another(root: Path) -> None:
    text = """
        [models.own]
        path = "nets/MobileNet"
        scope = "acme"
        [functions.f]
        module = "f.wasm"
        route = "/"
        tenant = "{}"
        models = ["own"]
        """
    assert list(read(root, text.format("acme")).functions["f"].grants) == ["own"]
    with pytest.raises(ConfigError, match="no model 'own' for the tenant 'other'"):
        read(root, text.format("other"))


def test_digests_are_shared_by_all_of_it(root: Path) -> None:
    settings = config.parse({"models": {"a": {"path": "eye.xml"}, "b": {"path": "eye.xml"}}}, root)
    digests = Digests(root / "state/digests")
    found = read_catalog(settings, digests)
    assert found.models["a"].digest == found.models["b"].digest
    assert found.models["a"].id != found.models["b"].id
    digests.save()
    assert (root / "state/digests").exists()
