"""Inferences that cannot be done."""

from __future__ import annotations

from wasmind.errors.base import NnCode, WasmindError


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
