"""Programs from the text format, compiled once per text, and guests that must be gone at a test's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.sandbox import GUEST, Desk, host
from wasmind.config import Limits
from wasmind.sandbox import Guest, Program, compile_program_now, from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from wasmind.sandbox import Engine, Interface


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="session")
def load(engine: Engine, cache: Path) -> Callable[..., Program]:
    """Load a module given as text or as bytes, with the interfaces given or the one above."""

    def of(module: str | bytes, interfaces: Iterable[Interface] = (host,)) -> Program:
        wasm = from_text(module) if isinstance(module, str) else module
        return Program.load(engine, compile_program_now(wasm, cache, interfaces), interfaces)

    return of


@pytest.fixture(scope="session")
def program(load: Callable[..., Program]) -> Program:
    """The guest above."""
    return load(GUEST)


@pytest.fixture
def make(program: Program, engine: Engine) -> Iterator[Callable[..., Guest[Desk]]]:
    """Make guests of the program above; they are closed, and none may be left alive, at the test's end."""
    made: list[Guest[Desk]] = []
    before = engine.live

    def guest(limits: Limits | None = None, other: Program | None = None) -> Guest[Desk]:
        made.append(Guest(other or program, limits or Limits(cpu_ms=5_000), Desk()))
        return made[-1]

    yield guest
    for one in made:
        one.close()
    assert engine.live == before
