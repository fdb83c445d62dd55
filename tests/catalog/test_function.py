from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wasmind.catalog.digests import Digests
from wasmind.catalog.function import FunctionRecord, read_function
from wasmind.catalog.model import ModelRecord
from wasmind.config import Function, Limits, Model
from wasmind.errors import ConfigError

MODELS = {
    name: ModelRecord(name=name, names=(name,), scope=scope, digest=name * 8, config=Model())
    for name, scope in (("classifier", "shared"), ("private", "acme"), ("secret", "other"))
}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "f.wasm"
    path.write_bytes(b"\0asm\x01\0\0\0")
    return path


def record(module: Path, **settings: object) -> FunctionRecord:
    function = Function(**({"module": module, "route": "/f"} | settings))  # type: ignore[arg-type] # as in a file
    return read_function("f", function, MODELS, Digests())


def test_a_function_is_looked_at(module: Path) -> None:
    found = record(
        module,
        route=["/f", "/g/*"],
        host="acme.example",
        methods=["POST"],
        env={"KEY": "value"},
        args=["-v"],
        limits=Limits(cpu_ms=5),
        tenant="acme",
        models=["classifier", "private"],
        allow_load=True,
    )
    assert (found.name, found.tenant, found.host) == ("f", "acme", "acme.example")
    assert (found.routes, found.methods, found.args) == (("/f", "/g/*"), ("POST",), ("-v",))
    assert (found.env, found.limits.cpu_ms, found.allow_load) == ({"KEY": "value"}, 5, True)
    assert found.digest == hashlib.sha256(module.read_bytes()).hexdigest()
    assert found.grants == {
        "classifier": "shared/classifier@classifierclassi",
        "private": "acme/private@privateprivatepr",
    }


def test_nothing_is_granted_that_is_not_listed(module: Path) -> None:
    assert record(module).grants == {}


def test_the_program_may_be_a_link(module: Path) -> None:
    link = module.with_name("link.wasm")
    link.symlink_to(module)
    assert record(link).module == module


@pytest.mark.parametrize("name", ["secret", "nothing"])
def test_a_model_of_another_tenant_is_refused_as_one_that_is_not_there(name: str, module: Path) -> None:
    with pytest.raises(ConfigError, match=rf"functions\.f: there is no model '{name}'") as caught:
        record(module, tenant="acme", models=[name])
    assert caught.value.cause == "it may be granted: classifier, private"


def test_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"functions\.f: the program .*gone\.wasm cannot be read") as caught:
        record(tmp_path / "gone.wasm")
    assert "build it" in caught.value.explain()


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no file"):
        record(tmp_path)
