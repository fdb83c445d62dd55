"""The declared interfaces, held against the WIT packages: every function, every type."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.components import tool
from wasmind.component import plan as plans
from wasmind.component.bind import Binding
from wasmind.component.interface import WitInterface
from wasmind.component.planner import plan_component
from wasmind.guest_api import wasi_http, wasi_nn

WIT = Path(__file__).parents[1] / "data" / "wit"
EXTENSION = Path(wasi_nn.__file__).parent / "wasmind-nn.wit"
UNSTABLE = {"[method]response-outparam.send-informational"}
"""Functions behind a feature gate, which the packages' worlds leave out."""


@cache
def everything() -> plans.Plan:
    """The plan of a component that imports all there is."""
    with TemporaryDirectory() as directory:
        wit = Path(directory) / "wit"
        shutil.copytree(WIT, wit)
        shutil.copy(EXTENSION, wit / "deps")
        world = "world all-of-it { include everything; import wasmind:nn/%async@0.1.0; }"
        (wit / "all.wit").write_text(f"package wasmind:test;\n{world}\n")
        made = subprocess.run(
            [tool("wasm-tools"), "component", "embed", "--dummy", "--world", "all-of-it", str(wit)],
            capture_output=True,
            check=True,
        ).stdout
    component = subprocess.run(
        [tool("wasm-tools"), "component", "new", "-"], input=made, capture_output=True, check=True
    ).stdout
    return plan_component(component).plan


def imported() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in everything().imports:
        if isinstance(each.does, plans.Lower):
            found.setdefault(each.does.interface, set()).add(each.does.name)
    return found


def test_all_of_it_can_be_imported() -> None:
    """Binding compares each function's type with the declared one."""
    assert len(Binding(everything(), wasi_http.WORLD).interfaces) > 20
    assert len(everything().imports) > 200


@pytest.mark.parametrize("interface", wasi_http.WORLD, ids=str)
def test_nothing_else_is_declared(interface: WitInterface) -> None:
    wit = imported().get(str(interface), set())
    declared = set(interface.functions) - UNSTABLE
    if interface.refuses:
        assert declared <= wit
    else:
        assert declared == wit


def test_each_interface_is_offered_once() -> None:
    names = [each.name for each in wasi_http.WORLD]
    assert len(names) == len(set(names))
