"""The REST transport: one model on one server, over pooled HTTP connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import NoReturn, cast
from urllib.parse import quote

import httpx
import msgspec

from wasmind.backends.oip import metadata, rest
from wasmind.backends.oip.credentials import Token, tls
from wasmind.backends.oip.transport import NotSent
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

CONNECT_S = 5.0
"""How long a server may take to accept a connection."""
IDLE_S = 4.0
"""How long an idle connection is kept: less than the five seconds after which common servers close theirs."""

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


class _ServerMetadata(msgspec.Struct):
    extensions: list[str] = []


class RestTransport:
    """A transport by JSON, and by raw bytes where the server's metadata list `binary_tensor_data`."""

    def __init__(self, client: httpx.AsyncClient, url: str, settings: KServe) -> None:
        """`client` is this transport's own."""
        self._client = client
        self._url = url.rstrip("/")
        self._model = f"{self._url}/v2/models/{quote(settings.model, safe='/')}"
        if settings.version:
            self._model += f"/versions/{quote(settings.version, safe='')}"
        self._token = Token(settings.token_file) if settings.token_file else None
        self._binary: bool | None = None

    async def signature(self, timeout: float) -> Signature:
        """The model's signature."""
        async with _within(timeout, self._url):
            body, _ = await self._exchange("GET", self._model)
        return metadata.parse(body)

    async def infer(
        self, inputs: Sequence[rest.Named], outputs: Sequence[str], timeout: float
    ) -> list[rest.Named]:
        """Run one inference. The first one asks before whether the server takes raw bytes."""
        async with _within(timeout, self._url):
            if self._binary is None:
                self._binary = await self._takes_raw_bytes()
            headers, body = rest.pack_request(inputs, binary=self._binary, outputs=outputs)
            answer, length = await self._exchange("POST", f"{self._model}/infer", headers, body)
        return rest.unpack_response(answer, length)

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    async def _takes_raw_bytes(self) -> bool:
        try:
            body, _ = await self._exchange("GET", f"{self._url}/v2")
            told = msgspec.json.decode(body, type=_ServerMetadata)
        except (ModelNotFound, RuntimeFailed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False  # it answers, and tells of no extension
        return "binary_tensor_data" in told.extensions

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[bytes, str | None]:
        headers = headers or {}
        if self._token is not None:
            headers["authorization"] = self._token.header()
        try:
            async with self._client.stream(method, url, headers=headers, content=body) as response:
                answer = await self._read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(f"cannot reach {self._url}", cause=str(error) or type(error).__name__) from error
        except httpx.HTTPError as error:
            raise ModelUnavailable(
                f"{self._url} broke off",
                cause=f"{type(error).__name__}: {error}",
                remedy="look at that server's log",
            ) from error
        if response.status_code != 200:
            self._refuse(response.status_code, answer)
        return answer, response.headers.get(rest.HEADER_LENGTH)

    async def _read(self, response: httpx.Response) -> bytes:
        chunks, size = [], 0
        async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_bytes())) as arriving:
            async for chunk in arriving:
                size += len(chunk)
                if size > rest.MAX_ANSWER:
                    raise RuntimeFailed(f"{self._url} answers more than {rest.MAX_ANSWER} bytes")
                chunks.append(chunk)
                if response.status_code >= 500:
                    break  # its words; servers that failed close the connection, so it is not used again
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _refuse(self, status: int, body: bytes) -> NoReturn:
        kind = _REFUSALS.get(status, RuntimeFailed)
        raise kind(f"{self._url} answered {status}", cause=rest.error_text(body))


@asynccontextmanager
async def _within(seconds: float, url: str) -> AsyncIterator[None]:
    """A timeout whose end is an InferenceTimeout that names the server."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise InferenceTimeout(f"{url} did not answer within {seconds:.3g} s") from error


def connect(url: str, settings: KServe) -> RestTransport:
    """A transport to a server; it connects with its first request. Raises ConfigError."""
    client = httpx.AsyncClient(
        verify=tls(settings) if url.startswith("https:") else False,
        timeout=httpx.Timeout(None, connect=CONNECT_S),
        limits=httpx.Limits(
            max_connections=None,  # the server's own limit on concurrency holds
            max_keepalive_connections=settings.concurrency,
            keepalive_expiry=IDLE_S,
        ),
        headers={"accept-encoding": "identity"},
        trust_env=False,
    )
    return RestTransport(client, url, settings)
