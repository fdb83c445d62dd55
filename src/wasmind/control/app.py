"""The API's routes. Every answer about the node comes fresh from its supervisor; nothing is kept here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, FastAPI
from starlette.responses import Response

import wasmind
from wasmind.control.pages import pages
from wasmind.control.problems import explain_errors, problem
from wasmind.errors import FunctionNotFound, ModelNotFound, NodeError
from wasmind.node.client import ask_async
from wasmind.node.status import FunctionStatus, ModelStatus, NodeStatus, encode
from wasmind.telemetry.metrics import merged

Found = TypeVar("Found", ModelStatus, FunctionStatus)

_REF = "#/components/schemas/{name}"


class Ready(msgspec.Struct):
    """Whether the node serves everything it is configured to."""

    ready: bool
    problems: tuple[str, ...] = ()


def create_app(state: Path, metrics: Path) -> FastAPI:
    """The API of the node on the state directory `state`, whose processes write metrics to `metrics`."""
    app = FastAPI(
        title="wasmind node",
        version=wasmind.__version__,
        description="Health, metrics, models and functions of one node.",
        redoc_url=None,
    )
    explain_errors(app)
    app.include_router(_health(state, metrics), tags=["health"])
    app.include_router(_records(state), prefix="/api/v1", tags=["node"])
    app.include_router(pages(state, _find), tags=["pages"])
    _describe_answers(app)
    return app


def _health(state: Path, metrics: Path) -> APIRouter:
    router = APIRouter()
    merging = asyncio.Lock()

    @router.get("/healthz", responses=_text("The node's supervisor answers."))
    async def healthz() -> Response:
        """Whether the node lives: its supervisor answers."""
        try:
            await ask_async(state, "status")
        except NodeError as error:
            return problem(503, error.code, error.title, error.explain())
        return Response("ok\n", media_type="text/plain")

    @router.get("/readyz", responses=_json(Ready, 200, 503))
    async def readyz() -> Response:
        """Whether every function and model is served; 503 with the reasons while one is not."""
        try:
            problems = (await ask_async(state, "status")).problems
        except NodeError as error:
            problems = (error.explain(),)
        return _document(Ready(not problems, problems), 503 if problems else 200)

    @router.get("/metrics", responses=_text("Prometheus' text format."))
    async def metrics_() -> Response:
        """The metrics of all processes, merged."""
        async with merging:
            text = await asyncio.to_thread(merged, metrics)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _records(state: Path) -> APIRouter:
    router = APIRouter()

    @router.get("/status", responses=_json(NodeStatus))
    async def status() -> Response:
        """The whole node: its processes, models, functions and problems."""
        return _document(await ask_async(state, "status"))

    @router.get("/models", responses=_json(tuple[ModelStatus, ...]))
    async def models() -> Response:
        """All models: state, signature, process."""
        return _document((await ask_async(state, "status")).models)

    @router.get("/models/{name}", responses=_json(ModelStatus))
    async def model(name: str) -> Response:
        """One model, by its name, `name@3`, `name:stable` or id."""
        found = _find((await ask_async(state, "status")).models, name)
        if found is None:
            raise ModelNotFound(f"this node has no model {name!r}")
        return _document(found)

    @router.get("/functions", responses=_json(tuple[FunctionStatus, ...]))
    async def functions() -> Response:
        """All functions: routes, models they may name, limits."""
        return _document((await ask_async(state, "status")).functions)

    @router.get("/functions/{name}", responses=_json(FunctionStatus))
    async def function(name: str) -> Response:
        """One function, by its name."""
        found = _find((await ask_async(state, "status")).functions, name)
        if found is None:
            raise FunctionNotFound(f"this node has no function {name!r}")
        return _document(found)

    return router


def _find(entries: tuple[Found, ...], name: str) -> Found | None:
    def means(entry: Found) -> bool:
        own = getattr(entry, "names", None) or (entry.name,)
        return name == getattr(entry, "id", None) or name in own

    return next(filter(means, entries), None)


def _document(document: object, status: int = 200) -> Response:
    return Response(encode(document), status, media_type="application/json")


def _text(description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}}


def _json(kind: Any, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers, for OpenAPI: msgspec writes the schema of the very structs that are sent."""
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    answer = {"description": "The answer.", "content": {"application/json": {"schema": schema}}}
    return dict.fromkeys(statuses or (200,), answer)


def _describe_answers(app: FastAPI) -> None:
    """Put the structs' schemas into the OpenAPI document that FastAPI makes of the routes."""
    _, components = msgspec.json.schema_components([NodeStatus, Ready], ref_template=_REF)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
