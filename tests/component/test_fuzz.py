"""Whatever a component's bytes are: it is read or refused, by our own errors, soon."""

from __future__ import annotations

import contextlib
import random
import time
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.components import parse
from support.toolchains import c_text
from support.wast import ALL_SCRIPTS, components
from wasmind.component.binary.reader import PREAMBLE, read_component
from wasmind.component.core.module import read_module
from wasmind.component.plan import decode
from wasmind.component.prepare import prepare
from wasmind.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 5.0
"""How long the smallest component may take at the most; it takes milliseconds."""


@cache
def corpus() -> tuple[bytes, ...]:
    """Components that use every part of the Component Model."""
    return (c_text(), *(wasm for script in ALL_SCRIPTS[::4] for wasm in components(script)))


def survives(wasm: bytes) -> None:
    """Prepare a component; only our own errors may come, and soon."""
    began = time.process_time()
    with contextlib.suppress(ProgramError):
        prepare(wasm)
    assert time.process_time() - began < SECONDS


def mutations(chance: random.Random, wasm: bytes) -> Iterator[bytes]:
    """A component with bytes changed, cut out, repeated or taken from elsewhere."""
    changed = bytearray(wasm)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        changed[chance.randrange(len(changed))] = chance.choice(
            (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
        )
    yield bytes(changed)
    at, end = sorted(chance.randrange(len(wasm)) for _ in range(2))
    yield wasm[:at] + wasm[end:]
    yield wasm[:end] + wasm[at:]
    yield wasm[:end]
    other = chance.choice(corpus())
    yield wasm[:at] + other[chance.randrange(len(other)) :]


def test_mutated_components() -> None:
    chance = random.Random(1)
    for _ in range(60):
        for wasm in mutations(chance, chance.choice(corpus())):
            survives(wasm)


@pytest.mark.slow
def test_many_mutated_components() -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        for wasm in mutations(chance, chance.choice(corpus())):
            try:
                survives(wasm)
            except BaseException as error:
                error.add_note(f"the seed was {seed}, the component {wasm.hex()}")
                raise


@settings(max_examples=3 * settings.default.max_examples, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=30)), max_size=6))
def test_random_sections(sections: list[tuple[int, bytes]]) -> None:
    survives(PREAMBLE + b"".join(bytes((code, len(body))) + body for code, body in sections))


@settings(max_examples=3 * settings.default.max_examples, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    for read in (read_component, read_module, decode):
        with contextlib.suppress(ProgramError):
            read(data)
    survives(PREAMBLE + data)


def test_each_cut_of_a_component_is_refused_or_shorter() -> None:
    wasm = parse('(component (core module $m (func (export "f"))) (core instance (instantiate $m)))')
    for end in range(len(wasm)):
        survives(wasm[:end])
