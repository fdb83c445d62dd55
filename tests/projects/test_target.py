"""Which functions of a configuration can be built, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmind import config
from wasmind.errors import BuildFailed, ConfigError
from wasmind.projects.target import Target, targets

BASE = Path("/project")
CONFIG = config.parse(
    {
        "models": {"m": {"path": "m.onnx"}},
        "functions": {
            "plain": {"module": "a.wasm", "source": "a.py", "route": "/a"},
            "granted": {"module": "b.wasm", "source": "b.py", "route": "/b", "models": ["m"]},
            "loads": {"module": "c.wasm", "source": "src/c.py", "route": "/c", "allow_load": True},
            "made": {"module": "d.wasm", "route": "/d"},
        },
    },
    BASE,
)


def test_functions_with_a_source_are_built() -> None:
    assert [target.name for target in targets(CONFIG, BASE)] == ["plain", "granted", "loads"]
    assert targets(CONFIG, BASE)[0] == Target("plain", BASE / "a.py", BASE / "a.wasm", BASE, models=False)
    assert targets(CONFIG, BASE)[2].source == BASE / "src" / "c.py"


def test_those_that_may_call_models_are_built_with_wasi_nn() -> None:
    assert [target.models for target in targets(CONFIG, BASE)] == [False, True, True]


def test_some_of_them_by_name() -> None:
    assert [target.name for target in targets(CONFIG, BASE, ["loads", "plain"])] == ["plain", "loads"]


def test_names_that_cannot_be_built() -> None:
    with pytest.raises(ConfigError, match="no function 'other'") as unknown:
        targets(CONFIG, BASE, ["other"])
    assert "plain, granted, loads, made" in unknown.value.explain()
    with pytest.raises(BuildFailed, match="'made' has no source") as without:
        targets(CONFIG, BASE, ["made"])
    assert "source =" in without.value.explain()
