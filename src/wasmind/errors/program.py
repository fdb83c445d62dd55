"""Programs that cannot be built or deployed."""

from __future__ import annotations

from typing import Any

from wasmind.errors.base import WasmindError


class BuildFailed(WasmindError):
    """A language's toolchain refused a function's source; `output` is what it had to say."""

    code, title, exit_code = "build-failed", "The function cannot be built", 3

    def __init__(
        self, message: str, *, cause: str | None = None, remedy: str | None = None, output: str = ""
    ) -> None:
        super().__init__(message, cause=cause, remedy=remedy)
        self.output = output

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON-ready data, with the toolchain's output."""
        return super().as_dict() | ({"output": self.output} if self.output else {})


class ToolMissing(BuildFailed):
    """A language's toolchain is not installed; the remedy installs it."""

    code, title, exit_code = "tool-missing", "A toolchain is missing", 2


class ProgramError(WasmindError):
    """A module or component is refused at deploy time."""

    code, title, status, exit_code = "program-refused", "Program refused", 422, 3


class NotWasm(ProgramError):
    """The bytes are no WebAssembly, or are malformed."""

    code, title = "program-not-wasm", "Not a WebAssembly program"


class InvalidProgram(ProgramError):
    """The program is well-formed, but its parts do not fit each other."""

    code, title = "program-invalid", "Invalid program"


class ProgramTooLarge(ProgramError):
    """The package is over the size limit, or compiling it went over its time or memory."""

    code, title, status = "program-too-large", "Program too large", 413


class UnsupportedFeature(ProgramError):
    """The program needs a WebAssembly feature that is not offered (shared or 64-bit memory, async
    component)."""

    code, title = "program-unsupported", "Unsupported WebAssembly feature"


class UnknownImport(ProgramError):
    """The program imports something that no interface provides."""

    code, title = "program-unknown-import", "Unknown import"
