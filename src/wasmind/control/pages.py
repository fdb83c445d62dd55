"""Pages for people: the node's models, and each one's card."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from wasmind.errors import ModelNotFound
from wasmind.node.client import ask_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.node.status import ModelStatus

    Find = Callable[[tuple[ModelStatus, ...], str], ModelStatus | None]

MAX_EXAMPLE = 16 << 20
"""The largest example that is shown, in bytes."""
_IMAGES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
# What is written on a page came from an operator's files; none of it can become a script.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def pages(state: Path, find: Find) -> APIRouter:
    """`/models`, `/models/NAME` and `/models/NAME/example` of the node on the state directory `state`."""
    router = APIRouter(include_in_schema=False)
    templates = _templates()

    async def status_of(name: str) -> ModelStatus:
        found = find((await ask_async(state, "status")).models, name)
        if found is None:
            raise ModelNotFound(f"this node has no model {name!r}")
        return found

    def page(template: str, **values: object) -> Response:
        text = templates.get_template(template).render(**values)
        return Response(text, media_type="text/html; charset=utf-8", headers=_HEADERS)

    @router.get("/models")
    async def models() -> Response:
        """All models of the node."""
        return page("models.html", models=(await ask_async(state, "status")).models)

    @router.get("/models/{name}")
    async def model(name: str) -> Response:
        """One model's card."""
        found = await status_of(name)
        shown = _image_of(found)
        return page("model.html", model=found, card=found.card, example=shown is not None)

    @router.get("/models/{name}/example")
    async def example(name: str) -> Response:
        """The photo that the model's card has for an example."""
        shown = _image_of(await status_of(name))
        if shown is None:
            raise ModelNotFound(f"the model {name!r} has no photo for an example")
        data = await asyncio.to_thread(_read, shown)
        if data is None:
            raise ModelNotFound(f"the example of the model {name!r} cannot be read")
        return Response(data, media_type=_IMAGES[shown.suffix.lower()], headers=_HEADERS)

    return router


def _image_of(status: ModelStatus) -> Path | None:
    path = Path(status.card.example.get("image", "")) if status.card else Path()
    return path if path.suffix.lower() in _IMAGES else None


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_EXAMPLE + 1)
    except OSError:
        return None
    return data if len(data) <= MAX_EXAMPLE else None


def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("wasmind.control"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    found.filters["bytes"] = _size
    found.filters["ms"] = _duration
    found.filters["day"] = lambda at: time.strftime("%Y-%m-%d", time.gmtime(at))
    found.filters["link"] = lambda text: text if text.startswith(("https://", "http://")) else None
    return found


def _size(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB" if count < 1 << 30 else f"{count / (1 << 30):.1f} GiB"


def _duration(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2f} ms"
