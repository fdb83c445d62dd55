"""What both forms of the protocol offer their backend."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count
from typing import Protocol

from wasmind.backends.oip.exchange import BrokenOff, TooMuch, Unreachable
from wasmind.backends.oip.rest import MAX_ANSWER, Named
from wasmind.errors import ModelUnavailable, NnError, RuntimeFailed
from wasmind.nn.signature import Signature


class NotSent(ModelUnavailable):
    """The server could not be reached, and nothing of the request was sent: trying again is safe."""

    code, title = "model-server-unreachable", "The model's server cannot be reached"


_prefix, _numbers = secrets.token_hex(6), count(1)


def request_id() -> str:
    """An id for a request to a server: the protocol lets it out, and some servers fail without one."""
    return f"{_prefix}-{next(_numbers):x}"


def failed(url: str, error: Unreachable | BrokenOff | TooMuch) -> NnError:
    """What an exchange that failed means for the inference it was for."""
    match error:
        case Unreachable():
            untrusted = "certificate verify failed" in str(error)
            remedy = "give its authority as `ca`" if untrusted else None
            return NotSent(f"cannot reach {url}", cause=str(error), remedy=remedy)
        case BrokenOff():
            return ModelUnavailable(f"{url} broke off", cause=str(error), remedy="look at that server's log")
        case TooMuch():
            return RuntimeFailed(f"{url} answers more than {MAX_ANSWER} bytes")


class Transport(Protocol):
    """One server, one model."""

    async def signature(self, timeout: float) -> Signature:
        """Ask for the model's metadata, within `timeout` seconds.

        Raises NotSent, ModelUnavailable, ModelNotFound, RuntimeFailed, InferenceTimeout.
        """

    async def infer(self, inputs: Sequence[Named], outputs: Sequence[str], timeout: float) -> list[Named]:
        """Run one inference within `timeout` seconds.

        Raises NotSent, ModelUnavailable, ModelBusy, ModelNotFound, InvalidTensor, RuntimeFailed,
        InferenceTimeout.
        """

    async def close(self) -> None:
        """Close its connections."""
