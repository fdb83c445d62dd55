"""Commands as components, run to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.backend import FixedModels
from support.components import CACHE, parse
from support.toolchains import WIT, c
from wasmind.component.build import build_now
from wasmind.component.component import Component
from wasmind.config import Limits
from wasmind.errors import GuestExit, GuestTrap, ProgramError
from wasmind.guest_api.stdio import BytesSink, BytesSource
from wasmind.guest_api.wasi.p2.command import run_command
from wasmind.guest_api.wasi.state import Wasi
from wasmind.guest_api.wasi_http import WORLD, Client
from wasmind.guest_api.wasi_http.client import Outgoing
from wasmind.guest_api.wasi_http.host import HttpHost
from wasmind.nn.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.sandbox import Engine


@pytest.fixture(scope="module", params=["fused", "linked"])
def command(engine: Engine, request: Any) -> Iterator[Component]:
    CACHE.mkdir(parents=True, exist_ok=True)
    built = build_now(c("command", WIT, "command"), CACHE, WORLD, form=request.param)
    made = Component.load(engine, built, WORLD)
    yield made
    made.close()


async def ran(
    component: Component, mode: str, stdin: bytes = b""
) -> tuple[bytes, int | None, Exception | None]:
    """What it wrote, its exit code, and how it failed."""
    stdout, limits = BytesSink(), Limits(cpu_ms=10_000)
    wasi = Wasi(BytesSource(stdin), stdout, BytesSink(), (b"prog", mode.encode()), lambda: (b"A=1", b"B=2"))
    session = Session(FixedModels(), limits, "t")
    host = HttpHost(wasi, session, lambda _: None, Outgoing(Client(()), 0))
    guest = component.guest(limits, host)
    failed: Exception | None = None
    try:
        await run_command(component, guest)
    except (GuestExit, GuestTrap) as error:
        failed = error
    finally:
        guest.close()
        host.close()
    return stdout.value, guest.exit_code, failed


async def test_arguments_environment_and_streams(command: Component) -> None:
    out, code, failed = await ran(command, "ok", b"some input\n" * 1000)
    assert out == b"ok A=1 B=2: " + b"some input\n" * 1000
    assert (code, failed) == (0, None)


async def test_an_error_is_status_1(command: Component) -> None:
    out, code, failed = await ran(command, "err")
    assert (out, code) == (b"err A=1 B=2: ", 1)
    assert isinstance(failed, GuestExit)


@pytest.mark.parametrize("status", [0, 7])
async def test_exit(command: Component, status: int) -> None:
    out, code, failed = await ran(command, f"exit{status}" if status else "exit")
    assert out.endswith(b": ")
    assert code == status
    assert isinstance(failed, GuestExit) == bool(status)


async def test_a_trap(command: Component) -> None:
    _, code, failed = await ran(command, "trap")
    assert code is None
    assert isinstance(failed, GuestTrap)


async def test_what_is_no_command(engine: Engine) -> None:
    made = Component.load(engine, build_now(parse("(component)"), CACHE, WORLD), WORLD)
    with pytest.raises(ProgramError, match="no command"):
        await ran(made, "ok")
    made.close()
