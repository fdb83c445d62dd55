"""A model's versions as the catalogue reads them, and what grants of them give."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.onnx_models import FLOAT, constant, linear, model, node
from wasmind.catalog.catalog import Catalog, read_catalog
from wasmind.config import parse
from wasmind.errors import ConfigError, ModelLoadFailed

MODEL = {
    "description": "all of them",
    "aliases": {"stable": 1, "next": 2},
    "default": "stable",
    "versions": {"1": {"path": "1.onnx"}, "2": {"path": "2.onnx", "description": "newer"}},
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "1.onnx").write_bytes(linear())
    (tmp_path / "2.onnx").write_bytes(
        model(
            [node("Mul", ["x", "k"], ["y"])],
            [("x", FLOAT, [1, 4])],
            [("y", FLOAT, [1, 4])],
            [constant("k", FLOAT, [1], [3.0])],
        )
    )
    (tmp_path / "f.wasm").write_bytes(b"\0asm\x01\0\0\0")
    return tmp_path


def read(directory: Path, *granted: str, tenant: str = "default", **settings: object) -> Catalog:
    function = {"module": "f.wasm", "route": "/f", "models": list(granted), "tenant": tenant}
    raw = {"models": {"net": MODEL | settings}, "functions": {"f": function}}
    return read_catalog(parse(raw, directory))


def numbers(catalog: Catalog) -> dict[str, int | None]:
    """Each name that the function may use, with the version that it means."""
    by_id = {record.id: record.version for record in catalog.models.values()}
    return {name: by_id[id_] for name, id_ in catalog.functions["f"].grants.items()}


def test_each_version_is_a_model_of_its_own(directory: Path) -> None:
    first, second = read(directory).models.values()
    assert (first.title, first.version, first.names) == ("net@1", 1, ("net", "net@1", "net:stable"))
    assert (second.title, second.version, second.names) == ("net@2", 2, ("net@2", "net:next"))
    assert first.digest != second.digest
    assert first.id == f"shared/net@1@{first.digest[:16]}"
    assert (first.config.description, second.config.description) == ("all of them", "newer")


def test_the_same_content_under_two_numbers_is_two_models(directory: Path) -> None:
    (directory / "2.onnx").write_bytes(linear())
    first, second = read(directory).models.values()
    assert first.digest == second.digest
    assert first.id != second.id


@pytest.mark.parametrize(
    ("default", "meant"), [("stable", 1), ("next", 2), (1, 1), (2, 2), (None, 2)], ids=str
)
def test_the_plain_name_means_what_the_operator_says(
    default: str | int | None, meant: int, directory: Path
) -> None:
    catalog = read(directory, "net", default=default)
    assert numbers(catalog) == {"net": meant, "net@1": 1, "net@2": 2, "net:stable": 1, "net:next": 2}
    assert next(iter(catalog.models.values())).version == meant, "the one that is meant comes first"


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ("net@2", {"net": 2, "net@2": 2}),
        ("net:next", {"net": 2, "net:next": 2}),
        ("net:stable", {"net": 1, "net:stable": 1}),
    ],
)
def test_a_pinned_grant_gives_that_version_alone(
    granted: str, expected: dict[str, int], directory: Path
) -> None:
    catalog = read(directory, granted)
    assert numbers(catalog) == expected
    assert catalog.functions["f"].models == (granted,)


def test_versions_belong_to_whom_their_model_does(directory: Path) -> None:
    assert numbers(read(directory, "net", tenant="acme", scope="acme"))
    with pytest.raises(ConfigError, match="there is no model 'net@1' for the tenant 'acme'"):
        read(directory, "net@1", tenant="acme", scope="other")


def test_a_version_that_is_not_there_is_named(directory: Path) -> None:
    (directory / "2.onnx").unlink()
    with pytest.raises(ModelLoadFailed, match=r"models\.net@2: "):
        read(directory)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"path": "1.onnx"}, "each says its own"),
        ({"aliases": {"stable": 3}}, "stable means version 3, which there is not"),
        ({"aliases": {"1st": 1}, "default": 1}, "begins with a letter"),
        ({"default": "other"}, "there is no 'other'"),
        ({"default": 3}, "there is no 3"),
        ({"versions": {}}, "there are none"),
        ({"versions": {"0": {"path": "1.onnx"}}, "aliases": {}, "default": 0}, "from 1 to"),
        ({"versions": {"1": {}}, "aliases": {}, "default": 1}, "models.net.versions.1: give `path`"),
        ({"versions": {"one": {"path": "1.onnx"}}}, "Expected `int`"),
    ],
)
def test_what_is_wrong_with_versions_is_told(settings: dict[str, object], said: str, directory: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        read(directory, **settings)
    assert said in wrong.value.explain()


@pytest.mark.parametrize(
    ("granted", "said"),
    [
        (("net@3",), "there is no 'net@3' (known: net, net:next, net:stable, net@1, net@2)"),
        (("net:other",), "there is no 'net:other'"),
        (("net", "net@1"), "the model 'net' is granted more than once"),
        (("other@1",), "there is no model 'other'"),
        (("net@1:stable",), "there is no model 'net@1:stable'"),
    ],
)
def test_grants_of_what_is_not_there_are_told(granted: tuple[str, ...], said: str, directory: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        read(directory, *granted)
    assert said in wrong.value.explain()
