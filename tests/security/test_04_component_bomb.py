"""Row 4, for components: a few bytes that ask for endless work are refused soon, in their own process."""

from __future__ import annotations

import resource
import time

import pytest

from support.components import parse
from wasmind.component.build import prepare_apart
from wasmind.errors import ProgramTooLarge
from wasmind.sandbox import CompileLimits


def instances(levels: int) -> str:
    """Instances that double at each level."""
    text = "(component $c0 (type u8))"
    for level in range(1, levels):
        below = f"(instance (instantiate $c{level - 1}))"
        text += f"(component $c{level} {below} {below})"
    return f"(component {text} (instance (instantiate $c{levels - 1})))"


def values(levels: int) -> str:
    """Value types that double at each level."""
    text = '(type $t0 (variant (case "a" u8) (case "b" u8)))'
    for level in range(1, levels):
        text += f'(type $t{level} (variant (case "a" $t{level - 1}) (case "b" $t{level - 1})))'
    return f"(component {text})"


def interfaces(levels: int) -> str:
    """Instance types that double at each level."""
    text = '(type $t0 (instance (export "f" (func))))'
    for level in range(1, levels):
        below = f"(alias outer $root $t{level - 1} (type $b))"
        pair = '(export "a" (instance (type $b))) (export "b" (instance (type $b)))'
        text += f"(type $t{level} (instance {below} {pair}))"
    return f'(component $root {text} (import "i" (instance (type $t{levels - 1}))))'


def modules(count: int) -> str:
    """One core module, instantiated over and over."""
    return f'(component (core module $m (func (export "f"))) {"(core instance (instantiate $m))" * count})'


BOMBS = {
    "instances": instances(40),
    "value types": values(60),
    "instance types": interfaces(40),
    "core instances": modules(5_000),
    "deep instances": "(component (component $c0)"
    + "".join(f"(component $c{n} (instance (instantiate $c{n - 1})))" for n in range(1, 90))
    + ")",
}


@pytest.mark.parametrize("name", BOMBS)
def test_component_bombs_are_refused_soon(name: str) -> None:
    wasm = parse(BOMBS[name])
    assert len(wasm) < 60_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(ProgramTooLarge):
        prepare_apart(wasm, CompileLimits(cpu_s=20, memory=512 << 20), None)
    assert time.monotonic() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
