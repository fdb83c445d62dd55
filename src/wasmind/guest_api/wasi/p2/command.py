"""Components that are commands: `wasi:cli/run` 0.2."""

from __future__ import annotations

from typing import Any

from wasmind.component.abi.values import Err
from wasmind.component.component import Component
from wasmind.errors import GuestExit, ProgramError
from wasmind.sandbox import Guest

RUN = "wasi:cli/run@0.2.0"


async def run_command(component: Component, guest: Guest[Any]) -> None:
    """Run a command to its end; `guest.exit_code` is then set.

    Raises ProgramError for a component that is no command, GuestExit for a status other than 0, and whatever
    `Guest.call` raises.
    """
    run = component.export(RUN, "run")
    if run is None:
        raise ProgramError(
            "the component is no command",
            cause="it does not export wasi:cli/run",
            remedy="build it for the world wasi:cli/command",
        )
    await component.start(guest)
    result = None if guest.exit_code is not None else await run(guest)
    if guest.exit_code is None:
        guest.exit_code = int(isinstance(result, Err))
        if guest.exit_code:
            raise GuestExit("the command failed", cause="wasi:cli/run answered an error")
