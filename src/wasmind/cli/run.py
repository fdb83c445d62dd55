"""`wasmind run`: one WASI command with wasi-nn, its streams and exit code passed through."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wasmind.cli.options import DEFAULT, AsJson, ConfigFile, cache_of, fetched, read_if_there

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.cli.local import LocalModels
    from wasmind.component.build import Built
    from wasmind.config import Devices, Limits, Model, Size
    from wasmind.guest_api.wasi.state import Wasi
    from wasmind.sandbox import Artifact

UNLIMITED_MS = 1e12
"""Thirty years: what a command may take when nobody says otherwise."""
INSTANCES = 256
"""The smallest pool: one guest runs, and a pool's memories are the ones that programs are compiled for."""


def run(
    module: Annotated[
        Path, typer.Argument(help="The WebAssembly command: a module or a component.", show_default=False)
    ],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[ARGS]...", help="Its arguments.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="A model for load_by_name; may be repeated.")
    ] = None,
    nn_preload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC", help="DIR, ENCODING::DIR or NAME:ENCODING:TARGET:PATH; may be repeated."
        ),
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An environment variable; may be repeated.")
    ] = None,
    cpu_ms: Annotated[
        float, typer.Option(help="CPU time it may use.", show_default="no limit")
    ] = UNLIMITED_MS,
    wall_ms: Annotated[float, typer.Option(help="Time it may take.", show_default="no limit")] = UNLIMITED_MS,
    stack: Annotated[str, typer.Option(metavar="SIZE", help="Stack it may have.")] = "1MiB",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Linear memory it may have.")] = "4GiB",
    config: ConfigFile = DEFAULT,
    json: AsJson = False,
) -> None:
    """Run a WASI command with wasi-nn; stdin, stdout, stderr and the exit code are the command's own.

    Its models are those of --model, --nn-preload and the configuration's [models].
    """
    import asyncio

    from wasmind.config import Limits

    del json  # for errors alone, which `reported` prints
    settings = fetched(read_if_there(config))
    named = _named(model or (), nn_preload or ())
    limits = Limits(
        cpu_ms=cpu_ms, wall_ms=wall_ms, memory=_size(memory, "--memory"), stack=_size(stack, "--stack")
    )
    variables = [_pair(text, "--env") for text in env or ()]
    work = _Run(
        module, arguments or [], variables, limits, named, dict(settings.models) | named, settings.devices
    )
    raise typer.Exit(asyncio.run(work.run(cache_of(config, settings))))


class _Run:
    """One run of a command."""

    def __init__(
        self,
        module: Path,
        arguments: list[str],
        variables: list[tuple[str, str]],
        limits: Limits,
        named: dict[str, Model],
        models: dict[str, Model],
        devices: Devices,
    ) -> None:
        """`named` are started at once, the other `models` when the command asks for them."""
        self._module = module
        self._arguments = [os.fsencode(text) for text in (module.name, *arguments)]
        self._variables = [os.fsencode(f"{name}={value}") for name, value in variables]
        self._limits = limits
        self._named = named
        self._models = models
        self._devices = devices

    async def run(self, cache: Path) -> int:
        """The command's exit code. Raises ProgramError, GuestError."""
        import tempfile

        from wasmind.cli.local import LocalModels
        from wasmind.component.binary.reader import is_component
        from wasmind.component.build import build
        from wasmind.guest_api.command import INTERFACES
        from wasmind.guest_api.wasi_http import WORLD
        from wasmind.sandbox import CompileLimits, compile_program

        with tempfile.TemporaryDirectory(prefix="wasmind-") as directory:
            models = LocalModels(self._models, Path(directory), self._devices)
            try:
                models.start(self._named)
                limits = CompileLimits(package=self._limits.package, stack=self._limits.stack)
                if _begins(self._module, is_component):
                    return await self._component(await build(self._module, cache, WORLD, limits), models)
                artifact = await compile_program(self._module, cache, INTERFACES, limits)
                return await self._command(artifact, models)
            finally:
                await models.close()

    def _wasi(self) -> Wasi:
        from wasmind.guest_api.stdio import FileSink, FileSource
        from wasmind.guest_api.wasi.state import Wasi

        return Wasi(FileSource(0), FileSink(1), FileSink(2), self._arguments, lambda: self._variables)

    async def _component(self, built: Built, models: LocalModels) -> int:
        from wasmind.component.component import Component
        from wasmind.errors import GuestExit
        from wasmind.guest_api.wasi.p2.command import run_command
        from wasmind.guest_api.wasi_http import WORLD, Client
        from wasmind.guest_api.wasi_http.client import Outgoing
        from wasmind.guest_api.wasi_http.host import HttpHost
        from wasmind.nn.session import Session
        from wasmind.sandbox import Engine

        engine = Engine(instances=INSTANCES, stack=self._limits.stack)
        session = Session(models, self._limits, "default")
        host = HttpHost(self._wasi(), session, _note, Outgoing(Client(()), 0))
        try:
            component = Component.load(engine, built, WORLD)
            guest = component.guest(self._limits, host)
            try:
                await run_command(component, guest)
            except GuestExit:
                return guest.exit_code or 1
            finally:
                guest.close()
            return 0
        finally:
            host.close()
            engine.close()

    async def _command(self, artifact: Artifact, models: LocalModels) -> int:
        from wasmind.errors import GuestExit
        from wasmind.guest_api.command import INTERFACES
        from wasmind.guest_api.host import CommandHost
        from wasmind.nn.session import Session
        from wasmind.sandbox import Engine, Guest, Program

        engine = Engine(instances=INSTANCES, stack=self._limits.stack)
        host = CommandHost(self._wasi(), Session(models, self._limits, "default"), _note)
        try:
            guest = Guest(Program.load(engine, artifact, INTERFACES), self._limits, host)
            try:
                await guest.run("_start")
            except GuestExit:
                return guest.exit_code or 1
            finally:
                guest.close()
            return 0
        finally:
            host.close()
            engine.close()


def _begins(path: Path, test: Callable[[bytes], bool]) -> bool:
    """Whether the first bytes of a file pass a test; one that cannot be read passes none."""
    try:
        with path.open("rb") as file:
            return test(file.read(8))
    except OSError:
        return False


def _note(text: str) -> None:
    """Why a call of the command failed: it sees a number only."""
    from wasmind.telemetry.escape import escape

    sys.stderr.write(f"wasmind: {escape(text)}\n")
    sys.stderr.flush()


def _named(pairs: list[str] | tuple[()], preloads: list[str] | tuple[()]) -> dict[str, Model]:
    from wasmind.config import Model, preloaded

    found = {}
    for text in pairs:
        name, path = _pair(text, "--model")
        found[name] = Model(path=Path(path))
    for text in preloads:
        try:
            name, model = preloaded(text, Path.cwd())
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--nn-preload") from error
        found[name] = model
    return found


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"expected NAME=…, got {text!r}", param_hint=option)
    return name, value


def _size(text: str, option: str) -> Size:
    from wasmind.config import Size

    try:
        return Size.parse(int(text) if text.isdigit() else text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
