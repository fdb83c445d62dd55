"""Requests to components in this process, without an edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.backend import FixedModels
from support.components import CACHE
from wasmind.component.build import build_now
from wasmind.component.component import Component
from wasmind.config import Limits
from wasmind.guest_api.cgi import Request
from wasmind.guest_api.wasi_http import WORLD, Client, Exchange, Service
from wasmind.nn.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from wasmind.component.prepare import Form
    from wasmind.sandbox import Engine, Figures


class Answer:
    """What a client receives."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.complete = False

    def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, dict(headers)

    async def body(self, chunk: bytes, more: bool) -> None:
        self.parts.append(chunk)
        self.complete = not more

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


class Served:
    """A component that answers requests, one sandbox each."""

    def __init__(
        self, component: Component, backends: tuple[str, ...] = (), models: FixedModels | None = None
    ) -> None:
        self.component = component
        self.service = Service(component, {"NAME": "value"})
        self.client = Client(backends)
        self.models = models or FixedModels()
        self.limits = Limits(cpu_ms=10_000)
        self.notes: list[str] = []
        self.log: list[bytes] = []
        self.figures: Figures | None = None
        self.started = False

    async def get(
        self,
        target: str,
        method: str = "GET",
        headers: Any = (),
        body: AsyncIterator[bytes] | None = None,
        limits: Limits | None = None,
        answer: Any = None,
    ) -> Answer:
        limits = limits or self.limits
        answer = answer or Answer()

        async def receive() -> bytes:
            assert body is not None
            return await anext(body, b"")

        path, _, query = target.partition("?")
        framing = [] if body is None else [(b"transfer-encoding", b"chunked")]
        request = Request(
            method=method,
            script_name="",
            path_info=path,
            target=target.encode(),
            query=query.encode(),
            headers=[*headers, *framing],
            server=("localhost", 1),
        )
        session = Session(self.models, limits, "tenant")
        exchange = Exchange(
            self.service,
            request,
            receive,
            answer,
            session,
            self.log.append,
            self.notes.append,
            self.client,
            limits.backend_requests,
        )
        guest = self.component.guest(limits, exchange.host)
        try:
            await exchange.run(guest)
        finally:
            self.started = exchange.started
            guest.close()
            self.figures = guest.figures
        assert session.memory_used == 0
        return answer  # type: ignore[no-any-return]  # or what the test gave


@pytest.fixture(scope="session")
def load(engine: Engine) -> Iterator[Callable[..., Component]]:
    """Load a component from its bytes; each is built once."""
    loaded: dict[tuple[int, Form | None], Component] = {}

    def of(wasm: bytes, form: Form | None = None) -> Component:
        key = hash(wasm), form
        if key not in loaded:
            CACHE.mkdir(parents=True, exist_ok=True)
            loaded[key] = Component.load(engine, build_now(wasm, CACHE, WORLD, form=form), WORLD)
        return loaded[key]

    yield of
    for component in loaded.values():
        component.close()
