"""The REST transport: one model on one server, over pooled HTTP/1.1 connections."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from wasmind.backends.oip import metadata, rest
from wasmind.backends.oip.credentials import Token, tls
from wasmind.backends.oip.exchange import BrokenOff, TooMuch, Unreachable
from wasmind.backends.oip.pool import Pool
from wasmind.backends.oip.transport import NotSent, request_id
from wasmind.config import KServe
from wasmind.errors import (
    InferenceTimeout,
    InvalidTensor,
    ModelBusy,
    ModelNotFound,
    ModelUnavailable,
    NnError,
    RuntimeFailed,
)
from wasmind.nn.signature import Signature

_REFUSALS: dict[int, type[NnError]] = {
    400: InvalidTensor,
    404: ModelNotFound,
    408: InferenceTimeout,
    422: InvalidTensor,
    429: ModelBusy,
    502: ModelUnavailable,
    503: ModelUnavailable,
    504: InferenceTimeout,
}
_REMEDIES = {
    401: "set `token_file`, or renew the token in it",
    403: "let the token's owner use this model on that server",
    404: "compare `model`, `version` and the url's path with what that server serves",
    413: "raise what that server, or a proxy before it, accepts",
    415: "set `binary = false`: it takes no raw bytes",
}


class _ServerMetadata(msgspec.Struct):
    extensions: list[str] = []


class RestTransport:
    """A transport by JSON, and by raw bytes where the server's metadata list `binary_tensor_data`."""

    def __init__(self, pool: Pool, url: str, settings: KServe) -> None:
        """`pool` is this transport's own."""
        where = urlsplit(url)
        self._pool = pool
        self._url = url.rstrip("/")
        root = where.path.rstrip("/")
        model = f"{root}/v2/models/{quote(settings.model, safe='/')}"
        if settings.version:
            model += f"/versions/{quote(settings.version, safe='')}"
        common = f" HTTP/1.1\r\nhost: {where.netloc}\r\naccept: */*\r\naccept-encoding: identity\r\n"
        self._ask_server = f"GET {root}/v2{common}".encode()
        self._ask_model = f"GET {model}{common}".encode()
        self._run = f"POST {model}/infer{common}".encode()
        self._token = Token(settings.token_file) if settings.token_file else None
        self._binary = settings.binary
        self._asking = asyncio.Lock()

    async def signature(self, timeout: float) -> Signature:
        """The model's signature."""
        try:
            async with asyncio.timeout(timeout):
                body, _ = await self._exchange(self._ask_model)
        except TimeoutError as error:
            raise self._late(timeout) from error
        return metadata.parse(body)

    async def infer(
        self, inputs: Sequence[rest.Named], outputs: Sequence[str], timeout: float
    ) -> list[rest.Named]:
        """Run one inference. The first one asks before whether the server takes raw bytes."""
        try:
            async with asyncio.timeout(timeout):
                if self._binary is None:
                    await self._learn()
                headers, body = rest.pack_request(
                    inputs, binary=bool(self._binary), outputs=outputs, request_id=request_id()
                )
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                answer, length = await self._exchange(self._run, lines, body)
        except TimeoutError as error:
            raise self._late(timeout) from error
        return rest.unpack_response(answer, length)

    async def close(self) -> None:
        """Close the pooled connections."""
        self._pool.close()

    async def _learn(self) -> None:
        """Ask the server once, however many wait for it, whether it takes raw bytes."""
        async with self._asking:
            if self._binary is not None:
                return
            try:
                body, _ = await self._exchange(self._ask_server)
                told = msgspec.json.decode(body, type=_ServerMetadata)
            except (ModelNotFound, RuntimeFailed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._binary = False  # it answers, and tells of no extension
            else:
                self._binary = "binary_tensor_data" in told.extensions

    async def _exchange(
        self, request: bytes, lines: str = "", body: bytes = b""
    ) -> tuple[bytes | bytearray, str | None]:
        """Send a request, `lines` being its further headers; the answer's body and its header's length."""
        if self._token is not None:
            lines += f"authorization: {self._token.header()}\r\n"
        if body:
            lines += f"content-length: {len(body)}\r\n"
        try:
            answer = await self._pool.exchange(
                b"%b%b\r\n" % (request, lines.encode("ascii")), body, rest.MAX_ANSWER
            )
        except Unreachable as error:
            raise NotSent(
                f"cannot reach {self._url}",
                cause=str(error),
                remedy="give its authority as `ca`" if "certificate verify failed" in str(error) else None,
            ) from error
        except BrokenOff as error:
            raise ModelUnavailable(
                f"{self._url} broke off", cause=str(error), remedy="look at that server's log"
            ) from error
        except TooMuch as error:
            raise RuntimeFailed(f"{self._url} answers more than {rest.MAX_ANSWER} bytes") from error
        if answer.status != 200:
            self._refuse(answer.status, answer.body)
        length = answer.headers.get(rest.HEADER_LENGTH.encode())
        return answer.body, None if length is None else length.decode("latin-1")

    def _late(self, seconds: float) -> InferenceTimeout:
        return InferenceTimeout(f"{self._url} did not answer within {seconds:.3g} s")

    def _refuse(self, status: int, body: bytes | bytearray) -> NoReturn:
        kind = _REFUSALS.get(status, RuntimeFailed)
        raise kind(
            f"{self._url} answered {status}", cause=rest.error_text(body), remedy=_REMEDIES.get(status)
        )


def connect(url: str, settings: KServe) -> RestTransport:
    """A transport to a server; it connects with its first request. Raises ConfigError."""
    where = urlsplit(url)
    secure = where.scheme == "https"
    pool = Pool(
        where.hostname or "", where.port or (443 if secure else 80), tls(settings) if secure else None
    )
    return RestTransport(pool, url, settings)
