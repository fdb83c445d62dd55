"""`wasi:cli` 0.2: arguments, environment, standard streams, the end. There are no terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.component.abi.values import Err, Ok
from wasmind.component.interface import WitInterface
from wasmind.component.types import List, Option, Own, Primitive, Result, Tuple
from wasmind.guest_api.wasi.p2.io import INPUT_STREAM, OUTPUT_STREAM
from wasmind.guest_api.wasi.p2.streams import InputStream, OutputStream

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.host import ComponentHost
    from wasmind.sandbox import Guest

_STRING = Primitive.STRING

environment = WitInterface("wasi:cli/environment@0.2.12")


@environment.function("get-environment", result=List(Tuple((_STRING, _STRING))))
def get_environment(guest: Guest[ComponentHost]) -> list[tuple[str, str]]:
    """The environment variables."""
    pairs = [variable.decode("utf-8", "replace").partition("=") for variable in guest.host.wasi.environ]
    return [(name, value) for name, _, value in pairs]


@environment.function("get-arguments", result=List(_STRING))
def get_arguments(guest: Guest[ComponentHost]) -> list[str]:
    """The arguments, from the program's name on."""
    return [argument.decode("utf-8", "replace") for argument in guest.host.wasi.arguments]


@environment.function("initial-cwd", result=Option(_STRING))
def initial_cwd(_guest: Guest[ComponentHost]) -> None:
    """There are no directories."""


exit_ = WitInterface("wasi:cli/exit@0.2.12")


@exit_.function("exit", {"status": Result()})
def exit_with_status(guest: Guest[ComponentHost], status: Ok[None] | Err[None]) -> None:
    """End the guest."""
    guest.exit(0 if isinstance(status, Ok) else 1)


@exit_.function("exit-with-code", {"status-code": Primitive.U8})
def exit_with_code(guest: Guest[ComponentHost], code: int) -> None:
    """End the guest."""
    guest.exit(code)


stdin = WitInterface("wasi:cli/stdin@0.2.12")
stdout = WitInterface("wasi:cli/stdout@0.2.12")
stderr = WitInterface("wasi:cli/stderr@0.2.12")


@stdin.function("get-stdin", result=Own(INPUT_STREAM))
def get_stdin(guest: Guest[ComponentHost]) -> InputStream:
    """A stream that reads the standard input."""
    return InputStream(guest.host.wasi.sources[0])


@stdout.function("get-stdout", result=Own(OUTPUT_STREAM))
def get_stdout(guest: Guest[ComponentHost]) -> OutputStream:
    """A stream to the standard output."""
    return OutputStream(guest.host.wasi.stdout)


@stderr.function("get-stderr", result=Own(OUTPUT_STREAM))
def get_stderr(guest: Guest[ComponentHost]) -> OutputStream:
    """A stream to the standard error."""
    return OutputStream(guest.host.wasi.stderr)


terminal_input = WitInterface("wasi:cli/terminal-input@0.2.12")
TERMINAL_INPUT = terminal_input.resource("terminal-input")
terminal_output = WitInterface("wasi:cli/terminal-output@0.2.12")
TERMINAL_OUTPUT = terminal_output.resource("terminal-output")
terminal_stdin = WitInterface("wasi:cli/terminal-stdin@0.2.12")
terminal_stdout = WitInterface("wasi:cli/terminal-stdout@0.2.12")
terminal_stderr = WitInterface("wasi:cli/terminal-stderr@0.2.12")


@terminal_stdin.function("get-terminal-stdin", result=Option(Own(TERMINAL_INPUT)))
@terminal_stdout.function("get-terminal-stdout", result=Option(Own(TERMINAL_OUTPUT)))
@terminal_stderr.function("get-terminal-stderr", result=Option(Own(TERMINAL_OUTPUT)))
def no_terminal(_guest: Guest[ComponentHost]) -> None:
    """There is none."""
