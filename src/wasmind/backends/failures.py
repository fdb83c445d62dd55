"""The errors that a model's process may answer a call with."""

from __future__ import annotations

from wasmind.errors import (
    ContextFull,
    ConversionFailed,
    EndOfSequence,
    InferenceTimeout,
    InvalidArgument,
    NnError,
    PromptTooLong,
    RuntimeFailed,
    TooLarge,
)

FAILURES: dict[str, type[NnError]] = {
    kind.code: kind
    for kind in (
        ContextFull,
        ConversionFailed,
        EndOfSequence,
        InferenceTimeout,
        InvalidArgument,
        PromptTooLong,
        RuntimeFailed,
        TooLarge,
    )
}
"""By their codes."""
