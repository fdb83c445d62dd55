from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from support.onnx_models import linear
from wasmind.catalog.catalog import read_catalog
from wasmind.config import parse
from wasmind.errors import ConfigError
from wasmind.node.callers import is_loopback, read_callers

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.node.messages import InferenceEntry

MODELS = {
    "a": {"path": "m.onnx"},
    "b": {"path": "m.onnx", "scope": "acme"},
    "c": {"path": "m.onnx", "scope": "other"},
}


def read(directory: Path, **settings: Any) -> InferenceEntry | None:
    (directory / "m.onnx").write_bytes(linear())
    config = parse({"models": MODELS} | settings, directory)
    records = read_catalog(config).models.values()
    return read_callers(config, records, {record.id: f"served {record.name}" for record in records})


def tokens(directory: Path, text: str) -> dict[str, Any]:
    (directory / "tokens").write_text(text)
    return {"tokens_file": "tokens"}


def test_a_tenant_may_name_what_is_shared_and_its_own(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"t").hexdigest()
    entry = read(tmp_path, tenants={"acme": tokens(tmp_path, f"# mine\n\n{digest.upper()}  -\n{digest}\n")})
    assert entry is not None
    (caller,) = entry.callers
    assert (caller.tenant, caller.tokens, caller.manage) == ("acme", (digest, digest), False)
    assert [(one.name, one.version, one.id) for one in caller.models] == [
        ("a", "1", "served a"),
        ("b", "1", "served b"),
    ]
    assert entry.anonymous is None


def test_it_may_be_granted_less(tmp_path: Path) -> None:
    entry = read(tmp_path, tenants={"acme": tokens(tmp_path, "") | {"models": ["b"]}})
    assert entry is not None
    assert [one.name for one in entry.callers[0].models] == ["b"]


@pytest.mark.parametrize("model", ["c", "nope"])
def test_it_cannot_be_granted_what_is_not_its(tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError, match=f"no model '{model}'") as refused:
        read(tmp_path, tenants={"acme": tokens(tmp_path, "") | {"models": [model]}})
    assert refused.value.cause == "it may name: a, b"


def test_in_dev_mode_everybody_is_the_default_tenant(tmp_path: Path) -> None:
    entry = read(tmp_path, node={"dev": True})
    assert entry is not None
    assert entry.anonymous is not None
    assert (entry.anonymous.tenant, [one.name for one in entry.anonymous.models]) == ("default", ["a"])
    assert entry.callers == ()


def test_versions_are_told_with_all_that_means_them(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(linear())
    versions = {"1": {"path": "m.onnx"}, "3": {"path": "m.onnx"}}
    models = {"v": {"versions": versions, "aliases": {"old": 1}}}
    entry = read(tmp_path, node={"dev": True}, models=models)
    assert entry is not None
    assert entry.anonymous is not None
    found = {one.version: set(one.references) for one in entry.anonymous.models}
    assert found == {"1": {"v@1", "v:old"}, "3": {"v", "v@3"}}


@pytest.mark.parametrize("line", ["secret", "0" * 63, "0" * 65, "g" * 64, "-"])
def test_a_line_that_is_no_hash(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="line 2 of") as refused:
        read(tmp_path, tenants={"acme": tokens(tmp_path, f"# tokens\n{line}\n")})
    assert "sha256sum" in (refused.value.remedy or "")
    assert line not in refused.value.explain() or line == "-"


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path, tenants={"acme": {"tokens_file": "nowhere"}})


def test_two_tenants_cannot_share_a_token(tmp_path: Path) -> None:
    same = tokens(tmp_path, hashlib.sha256(b"t").hexdigest())
    with pytest.raises(ConfigError, match="same token"):
        read(tmp_path, tenants={"a": same, "b": same})


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local
