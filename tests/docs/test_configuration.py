"""The configuration's reference names every setting with its default, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wasmind import config
from wasmind.config import convert

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration.md").read_text()
SECTIONS = {
    "node": config.Node,
    "node.ports": config.Ports,
    "devices.gpu": config.Device,
    "models.NAME": config.Model,
    "models.NAME.versions.N": config.Version,
    "models.NAME.batch": config.Batch,
    "models.NAME.generation": config.Generation,
    "models.NAME.signature": config.DeclaredSignature,
    "models.NAME.signature.TENSOR": config.DeclaredTensor,
    "models.NAME.kserve": config.KServe,
    "models.NAME.inputs.INPUT": config.Converted,
    "models.NAME.card": config.Card,
    "models.NAME.stand_in": config.StandIn,
    "storage.PREFIX": config.Storage,
    "functions.NAME": config.Function,
    "functions.NAME.limits": config.Limits,
    "tenants.NAME": config.Tenant,
    "inference": config.Inference,
}
STEPS = {
    "image": convert.Image,
    "text": convert.Text,
    "cast": convert.Cast,
    "normalize": convert.Normalize,
    "pool": convert.Pool,
    "top_k": convert.TopK,
}
"""The steps of a conversion that have settings."""
NOT_SHOWN = (
    None,
    msgspec.NODEFAULT,
    config.Batch(),
    config.Generation(),
    config.Example(),
    config.Limits(),
    config.Ports(),
)
"""Defaults for which the page says in words what they mean, or points to a table of their own."""


def rows(section: str) -> dict[str, str]:
    """Setting → default, as the page has them."""
    title = rf"## `\[{re.escape(section)}\]`" if section not in STEPS else f"### `{section}`"
    table = re.search(rf"^{title}\n(.*?)(?=\n##|\n\| step|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert table, f"no table for [{section}]"
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table[1], re.MULTILINE))


def defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Setting → default, as the code has them."""
    found = {}
    for field in msgspec.structs.fields(kind):
        made = field.default_factory is not msgspec.NODEFAULT
        found[field.name] = field.default_factory() if made else field.default
    return found


@pytest.mark.parametrize(("section", "kind"), (SECTIONS | STEPS).items())
def test_it_names_every_setting(section: str, kind: type[msgspec.Struct]) -> None:
    assert list(rows(section)) == list(defaults(kind))


@pytest.mark.parametrize(("section", "kind"), (SECTIONS | STEPS).items())
def test_it_tells_the_defaults(section: str, kind: type[msgspec.Struct]) -> None:
    told = rows(section)
    for name, default in defaults(kind).items():
        if default in NOT_SHOWN:
            continue
        value = msgspec.toml.decode(f"x = {told[name].strip('`')}")["x"]
        expected = default if isinstance(default, (bool, int, float, list, dict, tuple)) else str(default)
        assert (config.Size.parse(value) if isinstance(default, config.Size) else value) == (
            list(expected) if isinstance(expected, tuple) else expected
        ), name


def test_it_names_every_section() -> None:
    assert set(re.findall(r"^## `\[(.*?)\]`", PAGE, re.MULTILINE)) == set(SECTIONS)


def test_it_names_every_step() -> None:
    table = PAGE.split("| step | for |")[1].split("\n\n")[0]
    names = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert names == list(config.Step.__struct_fields__)
