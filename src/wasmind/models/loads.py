"""Models that functions bring as bytes: stored once by content, loaded once per tenant, by the supervisor."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from wasmind.errors import InvalidArgument, ModelUnavailable, NodeError, WasmindError
from wasmind.models.processes import GIVEN_UP
from wasmind.models.served import ServedModel
from wasmind.nn.encoding import Encoding, Target
from wasmind.node.messages import LoadedModel, LoadModel, WantModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.node.messages import FunctionEntry, ModelEntry
    from wasmind.telemetry.figures import ModelFigures

REMEMBERED_S = 5.0
"""How long a refusal is given again before the supervisor is asked anew: loading costs a process."""

BROUGHT = "(bytes)"
"""What all models that functions brought are called in metrics, so that their number has no bound in them."""

FILES = {
    Encoding.ONNX: ("model.onnx",),
    Encoding.OPENVINO: ("model.xml", "model.bin"),
    Encoding.TENSORFLOW: ("saved_model.pb",),
    Encoding.PYTORCH: ("model.pt",),
    Encoding.TENSORFLOWLITE: ("model.tflite",),
    Encoding.GGML: ("model.gguf",),
}

_Key: TypeAlias = tuple[str, str, Encoding, Target]


class Loads:
    """The models from bytes that this process knows, and the questions to the supervisor that are open."""

    def __init__(
        self, directory: Path, ask: Callable[[LoadModel | WantModel], object], figures: ModelFigures
    ) -> None:
        """`directory` keeps the files; `ask` sends something to the supervisor."""
        self._figures = figures
        self._directory = directory
        self._ask = ask
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[LoadedModel]] = {}
        self._loading: dict[_Key, asyncio.Task[ServedModel]] = {}
        self._loaded: dict[_Key, ServedModel] = {}
        self._refused: dict[_Key, tuple[float, WasmindError]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def load(
        self, function: FunctionEntry, builders: tuple[bytes, ...], encoding: Encoding, target: Target
    ) -> ServedModel:
        """The model of these bytes. Raises what the supervisor answers, InvalidArgument, ModelUnavailable."""
        if len(builders) > len(FILES[encoding]):
            raise InvalidArgument(f"{len(builders)} builders for a model in {encoding}")
        digest = await asyncio.to_thread(content_digest, builders)
        key = (function.tenant, digest, encoding, target)
        loaded = self._loaded.get(key)
        if loaded is not None:
            return loaded
        self._raise_refusal(key)
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.create_task(self._load(key, function, builders))
            loading.add_done_callback(lambda task: self._end(key, task))
        return await asyncio.shield(loading)

    def answered(self, answer: LoadedModel) -> None:
        """The supervisor answered."""
        asked = self._asked.pop(answer.request, None)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    def update(self, entry: ModelEntry) -> None:
        """One model has changed; one that has ended is asked for anew the next time."""
        for key, served in list(self._loaded.items()):
            if served.entry.id == entry.id:
                served.update(entry)
                if entry.state in GIVEN_UP:
                    self._leave(self._loaded.pop(key))

    def used(self) -> dict[str, float]:
        """The models used since the last time, each with when."""
        return {s.entry.id: used for s in self._loaded.values() if (used := s.used()) is not None}

    async def close(self) -> None:
        """Give up what is loading and leave what was loaded."""
        for task in self._loading.values():
            task.cancel()
        for served in self._loaded.values():
            self._leave(served)
        self._loaded.clear()
        await asyncio.gather(*self._closing)

    def _leave(self, served: ServedModel) -> None:
        task = asyncio.get_running_loop().create_task(served.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _load(self, key: _Key, function: FunctionEntry, builders: tuple[bytes, ...]) -> ServedModel:
        tenant, digest, encoding, target = key
        try:
            path = await asyncio.to_thread(store, self._directory, digest, FILES[encoding], builders)
        except OSError as error:
            raise ModelUnavailable("the model's bytes cannot be stored", cause=error.strerror) from error
        request = next(self._numbers)
        asked = self._asked[request] = asyncio.get_running_loop().create_future()
        self._ask(
            LoadModel(
                request=request,
                function=function.name,
                tenant=tenant,
                digest=digest,
                path=str(path),
                encoding=encoding.value,
                target=target.value,
            )
        )
        answer = await asked
        if answer.model is None:
            raise answer.failure.error() if answer.failure else NodeError("the supervisor answered nothing")
        meter = self._figures.model(BROUGHT, tenant)
        return ServedModel(answer.model, meter, want=self._want)

    def _want(self, id_: str, tenant: str) -> None:
        self._ask(WantModel(id=id_, tenant=tenant))

    def _end(self, key: _Key, task: asyncio.Task[ServedModel]) -> None:
        self._loading.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._loaded[key] = task.result()
        elif isinstance(error, WasmindError):
            now = monotonic()
            self._refused = {k: v for k, v in self._refused.items() if v[0] > now}
            self._refused[key] = (now + REMEMBERED_S, error.anew())  # not what holds the model's bytes

    def _raise_refusal(self, key: _Key) -> None:
        refused = self._refused.get(key)
        if refused is not None and refused[0] > monotonic():
            raise refused[1].anew()


def content_digest(builders: tuple[bytes, ...]) -> str:
    """SHA-256 in hexadecimal: of the one builder, or of all with the lengths of those before the last."""
    digest = hashlib.sha256()
    for builder in builders[:-1]:
        digest.update(len(builder).to_bytes(8, "little"))
    for builder in builders:
        digest.update(builder)
    return digest.hexdigest()


def store(directory: Path, digest: str, names: tuple[str, ...], builders: tuple[bytes, ...]) -> Path:
    """Write the builders as files of a directory named by their digest; the path of the first.

    They become visible all at once, so no worker ever reads half a file. Raises OSError.
    """
    place = directory / digest
    if not place.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=directory))
        for name, builder in zip(names, builders, strict=False):
            (making / name).write_bytes(builder)
        try:
            os.rename(making, place)
        except OSError:
            for name in os.listdir(making):
                (making / name).unlink()
            making.rmdir()
            if not place.is_dir():
                raise
    return place / names[0]
