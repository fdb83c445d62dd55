"""The REST transport: one model on one server, over either version of HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from wasmind.backends.oip import metadata, rest
from wasmind.backends.oip.credentials import Token, tls
from wasmind.backends.oip.exchange import BrokenOff, TooMuch, Unreachable
from wasmind.backends.oip.pool import Pool
from wasmind.backends.oip.request import Request
from wasmind.backends.oip.transport import failed, request_id
from wasmind.backends.oip.way import ByHttp1, Way
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

    def __init__(self, way: Way, url: str, settings: KServe) -> None:
        """`way` is this transport's own."""
        self._way = way
        self._url = url.rstrip("/")
        model = f"/v2/models/{quote(settings.model, safe='/')}"
        if settings.version:
            model += f"/versions/{quote(settings.version, safe='')}"
        self._ask_server = Request("GET", url, "/v2")
        self._ask_model = Request("GET", url, model)
        self._run = Request("POST", url, f"{model}/infer")
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
                answer, length = await self._exchange(self._run, headers, body)
        except TimeoutError as error:
            raise self._late(timeout) from error
        return rest.unpack_response(answer, length)

    async def close(self) -> None:
        """Close the connections."""
        self._way.close()

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
        self, request: Request, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[bytes | bytearray, str | None]:
        """Send a request with these further headers; the answer's body and its header's length."""
        headers = headers or {}
        if self._token is not None:
            headers["authorization"] = self._token.header()
        if body:
            headers["content-length"] = str(len(body))
        try:
            answer = await self._way.exchange(request, headers, body, rest.MAX_ANSWER)
        except (Unreachable, BrokenOff, TooMuch) as error:
            raise failed(self._url, error) from error
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
    return RestTransport(_way(url, settings), url, settings)


def _way(url: str, settings: KServe) -> Way:
    """By what the configuration says, or what is agreed on with the server where it says nothing."""
    where = urlsplit(url)
    secure = where.scheme == "https"
    host, port = where.hostname or "", where.port or (443 if secure else 80)
    if settings.http2 is None and secure and find_spec("hpack") is not None:
        from wasmind.backends.oip.negotiated import ByAlpn

        return ByAlpn(host, port, settings)
    if settings.http2:
        from wasmind.backends.oip.channel import ALPN, Channel
        from wasmind.backends.oip.negotiated import ByHttp2

        return ByHttp2(Channel(host, port, tls(settings, ALPN) if secure else None))
    return ByHttp1(Pool(host, port, tls(settings, "http/1.1") if secure else None))
