"""The root of the tree, what every error of it has, and the errors of no family."""

from __future__ import annotations

from copy import copy
from enum import Enum
from typing import Any, ClassVar, Self


class NnCode(Enum):
    """The error codes of wasi-nn, by their WIT names (wasi:nn/errors `error-code`), plus WITX's own.

    The WITX errno and the WIT enum number them differently, so the numbers live with each ABI.
    """

    INVALID_ARGUMENT = "invalid-argument"
    INVALID_ENCODING = "invalid-encoding"
    MISSING_MEMORY = "missing-memory"  # WITX only
    BUSY = "busy"  # WITX only
    TIMEOUT = "timeout"
    RUNTIME_ERROR = "runtime-error"
    UNSUPPORTED_OPERATION = "unsupported-operation"
    TOO_LARGE = "too-large"
    NOT_FOUND = "not-found"
    SECURITY = "security"
    UNKNOWN = "unknown"
    END_OF_SEQUENCE = "end-of-sequence"  # WasmEdge only
    CONTEXT_FULL = "context-full"  # WasmEdge only
    PROMPT_TOO_LONG = "prompt-too-long"  # WasmEdge only


class WasmindError(Exception):
    """The root of the tree. Subclasses fix the class variables; instances carry the particulars."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500
    nn_code: ClassVar[NnCode] = NnCode.UNKNOWN
    exit_code: ClassVar[int] = 1
    retry_after: float | None = None

    def __init__(self, message: str, *, cause: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.remedy = remedy

    def explain(self) -> str:
        """What happened, why and what to do, as one readable line."""
        parts = [self.message]
        if self.cause:
            parts.append(f"Cause: {self.cause}")
        if self.remedy:
            parts.append(f"Remedy: {self.remedy}")
        return " ".join(part if part.endswith((".", "!", "?")) else part + "." for part in parts)

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON-ready data, for `--json` output and logs."""
        found = {"code": self.code, "message": self.message, "cause": self.cause, "remedy": self.remedy}
        return {key: value for key, value in found.items() if value is not None}

    def anew(self) -> Self:
        """The same error, not raised yet: it knows nothing of the frames that this one came through."""
        return copy(self)

    def let_go(self) -> None:
        """Forget where it was raised, once it was told.

        The frames that it came through hold what they worked on, and the error: together they would stay
        until the garbage collector comes.
        """
        self.__traceback__ = self.__context__ = self.__cause__ = None


class ConfigError(WasmindError):
    """`wasmind.toml` cannot be read or means something impossible."""

    code, title, exit_code = "config-invalid", "Invalid configuration", 2


class NodeError(WasmindError):
    """The node itself cannot start, reach its parts or do what it was told."""

    code, title = "node-failed", "The node failed"


class PackageMissing(WasmindError):
    """A Python package that is needed for what was asked is not installed; the remedy installs it."""

    code, title, exit_code = "package-missing", "A package is missing", 2
