"""One exception tree: every failure has a stable code, an HTTP status, a wasi-nn code, a cause and a remedy.

The message says what happened; `cause` why; `remedy` what to do about it. The cause reaches a function's
log and, in dev mode, its client; otherwise the client sees the code and the title alone.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar


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


class ConfigError(WasmindError):
    """`wasmind.toml` cannot be read or means something impossible."""

    code, title, exit_code = "config-invalid", "Invalid configuration", 2


class NodeError(WasmindError):
    """The node itself cannot start, reach its parts or do what it was told."""

    code, title = "node-failed", "The node failed"


class PackageMissing(WasmindError):
    """A Python package that is needed for what was asked is not installed; the remedy installs it."""

    code, title, exit_code = "package-missing", "A package is missing", 2


# --- a program that cannot be built ---------------------------------------------------------------------


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


# --- a program that cannot be deployed ------------------------------------------------------------------


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


# --- a request that cannot be served --------------------------------------------------------------------


class RequestError(WasmindError):
    """The request is at fault."""

    code, title, status = "request-invalid", "Invalid request", 400


class TokenRefused(RequestError):
    """The request has no token, or one that nobody was given."""

    code, title, status = "token-refused", "No valid token", 401


class NotAllowed(RequestError):
    """Whoever asks is known, and may not do this."""

    code, title, status = "not-allowed", "Not allowed", 403


class RouteNotFound(RequestError):
    """No function is routed at this host and path."""

    code, title, status = "route-not-found", "No such route", 404


class FunctionNotFound(RequestError):
    """The node has no function of this name."""

    code, title, status = "function-not-found", "No such function", 404


class MethodNotAllowed(RequestError):
    """The route exists, not for this method."""

    code, title, status = "method-not-allowed", "Method not allowed", 405

    def __init__(
        self, message: str, *, cause: str | None = None, remedy: str | None = None, allowed: str = ""
    ) -> None:
        """`allowed` is the value of the response's `Allow` header."""
        super().__init__(message, cause=cause, remedy=remedy)
        self.allowed = allowed


class HeadersTooLarge(RequestError):
    """The request's line and headers are more than a request may have."""

    code, title, status = "headers-too-large", "Request head too large", 431


class BodyTimeout(RequestError):
    """The request's body stalled."""

    code, title, status = "body-timeout", "Request body timed out", 408


class BodyTooLarge(RequestError):
    """The request's body is over the function's limit."""

    code, title, status = "body-too-large", "Request body too large", 413


class ClientGone(RequestError):
    """The client closed the connection; nobody reads the answer (the status is nginx's, for logs)."""

    code, title, status = "client-gone", "Client closed the request", 499


class Overloaded(WasmindError):
    """A limit on concurrency is spent; trying again later may work."""

    code, title, status, nn_code = "overloaded", "Overloaded", 503, NnCode.BUSY
    retry_after = 1.0


class FunctionBusy(Overloaded):
    """The function's own concurrency is spent."""

    code, title, status = "function-busy", "Too many requests for this function", 429


# --- a guest that failed --------------------------------------------------------------------------------


class GuestError(WasmindError):
    """The guest ended without an answer."""

    code, title, status, exit_code = "guest-failed", "The function failed", 502, 134


class GuestTrap(GuestError):
    """The guest trapped."""

    code, title = "guest-trap", "The function trapped"


class GuestExit(GuestError):
    """The guest exited with a status other than 0 before it answered."""

    code, title = "guest-exit", "The function exited with an error"


class MalformedResponse(GuestError):
    """What the guest wrote is no response."""

    code, title = "guest-malformed-response", "The function gave a malformed response"


class LimitExceeded(GuestError):
    """The guest went over one of its limits."""

    code, title = "guest-limit", "The function went over a limit"


class CpuBudgetSpent(LimitExceeded):
    """The guest used more CPU than its budget."""

    code, title, status = "guest-cpu-budget", "The function spent its CPU budget", 504


class DeadlinePassed(LimitExceeded):
    """The guest ran longer than its wall deadline."""

    code, title, status, nn_code = "guest-deadline", "The function passed its deadline", 504, NnCode.TIMEOUT


class MemoryFault(GuestError):
    """A pointer or length given by the guest points outside its memory."""

    code, title, nn_code = (
        "guest-memory-fault",
        "A pointer outside the guest's memory",
        NnCode.INVALID_ARGUMENT,
    )


class MissingMemory(MemoryFault):
    """The guest exports no memory, so a pointer from it means nothing."""

    code, title, nn_code = "guest-missing-memory", "The guest has no memory", NnCode.MISSING_MEMORY


# --- inference ------------------------------------------------------------------------------------------


class NnError(WasmindError):
    """An inference cannot be done."""

    code, title, status, nn_code = "inference-failed", "Inference failed", 500, NnCode.RUNTIME_ERROR


class InvalidArgument(NnError):
    """An argument of a wasi-nn call is wrong."""

    code, title, status, nn_code = "nn-invalid-argument", "Invalid argument", 400, NnCode.INVALID_ARGUMENT


class InvalidTensor(InvalidArgument):
    """A tensor does not fit the model's signature."""

    code, title = "nn-invalid-tensor", "Tensor does not fit the model"


class ConversionFailed(InvalidArgument):
    """What came cannot be converted as the configuration declares: no image, no text, or too large."""

    code, title = "nn-conversion-failed", "An input or output cannot be converted"


class InvalidEncoding(NnError):
    """The graph's encoding is unknown, or no installed runtime reads it."""

    code, title, status, nn_code = "nn-invalid-encoding", "Invalid encoding", 400, NnCode.INVALID_ENCODING


class ModelNotFound(NnError):
    """No such model, for this function."""

    code, title, status, nn_code = "model-not-found", "No such model", 404, NnCode.NOT_FOUND


class ModelBusy(NnError):
    """The model's queue, or its shared memory, is full."""

    code, title, status, nn_code = "model-busy", "The model is overloaded", 503, NnCode.BUSY
    retry_after = 1.0


class InferenceTimeout(NnError):
    """The inference passed its deadline."""

    code, title, status, nn_code = "inference-timeout", "Inference timed out", 504, NnCode.TIMEOUT


class TooLarge(NnError):
    """A tensor, a graph or a buffer is over a limit."""

    code, title, status, nn_code = "nn-too-large", "Too large", 413, NnCode.TOO_LARGE


class EndOfSequence(NnError):
    """A text that is made step by step has ended; no failure, and the steps before it stand."""

    code, title, nn_code = "end-of-sequence", "The text has ended", NnCode.END_OF_SEQUENCE


class ContextFull(NnError):
    """A prompt and what was generated after it take all the tokens a generation may have."""

    code, title, status, nn_code = "context-full", "The context is full", 413, NnCode.CONTEXT_FULL


class PromptTooLong(NnError):
    """A prompt alone has more tokens than a generation may have."""

    code, title, status, nn_code = "prompt-too-long", "The prompt is too long", 413, NnCode.PROMPT_TOO_LONG


class UnsupportedOperation(NnError):
    """The call is not offered here: by policy, by the model or by the machine."""

    code, title, status, nn_code = (
        "nn-unsupported",
        "Unsupported operation",
        501,
        NnCode.UNSUPPORTED_OPERATION,
    )


class RuntimeFailed(NnError):
    """The framework refused or failed; the message carries its own words, explained."""

    code, title = "runtime-failed", "The inference runtime failed"


class ModelDied(NnError):
    """The model's process died while the call was in flight."""

    code, title, status = "model-died", "The model's process died", 503
    retry_after = 1.0


class ModelUnavailable(NnError):
    """The model is not serving: it is loading, restarting, quarantined, or its server is away."""

    code, title, status = "model-unavailable", "The model is unavailable", 503
    retry_after = 2.0


class ModelLoadFailed(NnError):
    """The model cannot be loaded."""

    code, title, status, exit_code = "model-load-failed", "The model cannot be loaded", 422, 4


class StorageFailed(ModelLoadFailed):
    """The place where a model is kept cannot be reached, or does not give it."""

    code, title, status = "storage-failed", "The model's storage failed", 503


class TransferBroken(StorageFailed):
    """A transfer ended early; what has come is kept, and taken up again."""

    code, title = "transfer-broken", "The transfer broke off"
