"""Models that a command serves for itself, in the same confined processes as a node's."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from wasmind.backends.converting import ConvertingBackend
from wasmind.backends.oip.backend import OipBackend
from wasmind.backends.oip.connect import connect
from wasmind.backends.process import ProcessBackend
from wasmind.catalog.digests import Digests
from wasmind.catalog.model import read_model
from wasmind.config import NO_DEVICES, Model
from wasmind.errors import ModelNotFound, UnsupportedOperation
from wasmind.models.loads import FILES, content_digest, store
from wasmind.nn.graph import Graph
from wasmind.node.converters import converter, seen, side_of
from wasmind.node.plan import RemoteSpec, plan_elsewhere, plan_model
from wasmind.worker.spawn import listen, spawn
from wasmind.worker.spec import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from wasmind.config import Devices, KServe
    from wasmind.nn.backend import Backend
    from wasmind.nn.encoding import Encoding, Target
    from wasmind.nn.signature import Signature
    from wasmind.node.plan import ModelPlan
    from wasmind.worker.spawn import WorkerProcess
    from wasmind.worker.spec import Ready, Side


class RemoteModel:
    """One model that is served elsewhere, and the processes that convert for it."""

    def __init__(
        self, plan: ModelPlan, servers: OipBackend, backend: Backend, converters: Mapping[Side, LocalModel]
    ) -> None:
        self.plan = plan
        self._servers = servers
        self._converters = converters
        self.graph = Graph(plan.name, backend, plan.settings.deadline_ms / 1000)

    @classmethod
    async def start(
        cls, plan: ModelPlan, settings: KServe, address: Path, log: Callable[[str], None] | None = None
    ) -> RemoteModel:
        """Ask its servers what it takes and gives, and start what converts for it, listening at names that
        begin with `address`. Raises NnError, ConfigError, PackageMissing.
        """
        known = connect(settings, plan.settings.queue)
        servers = OipBackend(plan.name, lambda: known, when_down="fail")
        converters: dict[Side, LocalModel] = {}
        try:
            served = await servers.refresh()
            for spec in plan.spec.converters if isinstance(plan.spec, RemoteSpec) else ():
                at = address.with_name(f"{address.name}.{side_of(spec)}")
                converters[side_of(spec)] = await LocalModel.run(converter(plan, spec, served), at, log)
        except BaseException:
            await _close(servers, converters)
            raise
        if not converters:
            return cls(plan, servers, servers, converters)
        return cls(plan, servers, _around(plan, servers, served, converters), converters)

    async def close(self) -> None:
        """Close the connections to its servers, and end its processes."""
        await _close(self._servers, self._converters)


class LocalModel:
    """One model and its process."""

    def __init__(self, plan: ModelPlan, process: WorkerProcess, ready: Ready, address: Path) -> None:
        self.plan = plan
        self.process = process
        self.ready = ready
        settings = plan.settings
        self._backend = ProcessBackend(
            str(address),
            plan.name,
            ready.signature,
            shared_memory=settings.shared_memory,
            queue=settings.queue,
            when_down="fail",
        )
        self._backend.resume(ready.signature)
        self.graph = Graph(plan.name, self._backend, settings.deadline_ms / 1000)
        self._watch = asyncio.create_task(self._explain_death())

    @classmethod
    async def start(
        cls, name: str, settings: Model, address: Path, devices: Devices = NO_DEVICES
    ) -> LocalModel:
        """Start its process, listening at `address`, and wait until it serves.

        Raises ModelLoadFailed, InvalidEncoding, ConfigError, UnsupportedOperation (it is served elsewhere).
        """
        plan = plan_model(await asyncio.to_thread(read_model, name, settings, Digests()), devices)
        if isinstance(plan.spec, RemoteSpec):
            raise UnsupportedOperation(f"models.{name} is served elsewhere: there is no process to start")
        return await cls.run(plan, address)

    @classmethod
    async def run(
        cls, plan: ModelPlan, address: Path, log: Callable[[str], None] | None = None
    ) -> LocalModel:
        """Start the process of a plan; see `start`."""
        assert isinstance(plan.spec, WorkerSpec)
        with listen(address) as listener:
            process = await spawn(plan.spec, listener, log=log)
            try:
                return cls(plan, process, await process.ready(), address)
            except BaseException:
                process.kill("its start was given up")
                await process.wait()
                raise

    async def _explain_death(self) -> None:
        death = await self.process.wait()
        self._backend.explain_death(death.reason)
        self._backend.suspend(f"its process died: {death.reason}")

    async def close(self) -> None:
        """End its process."""
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        await self._backend.close()
        await self.process.stop(1.0)


class LocalModels:
    """All models of one guest (an `nn.Models`); each process is started when it is first wanted."""

    allow_load = True

    def __init__(self, models: Mapping[str, Model], directory: Path, devices: Devices = NO_DEVICES) -> None:
        """`directory` is for sockets and for models from bytes; its path is short."""
        self._models = models
        self._devices = devices
        self._directory = directory
        self._numbers = count()
        self._started: dict[str, asyncio.Task[LocalModel | RemoteModel]] = {}

    def start(self, names: Iterable[str]) -> None:
        """Start these before they are asked for."""
        for name in names:
            self._start(name, name, self._models[name], self._devices)

    async def resolve(self, name: str) -> Graph:
        """The model as a graph. Raises ModelNotFound, ModelLoadFailed."""
        settings = self._models.get(name)
        if settings is None:
            raise ModelNotFound(
                f"there is no model {name!r}",
                cause=f"known are: {', '.join(self._models) or 'none'}",
                remedy=f"give it with --model {name}=PATH",
            )
        return (await self._start(name, name, settings, self._devices)).graph

    async def load(self, builders: tuple[bytes, ...], encoding: Encoding, target: Target) -> Graph:
        """The model of these bytes. Raises ModelLoadFailed, InvalidEncoding."""
        digest = content_digest(builders)
        key = f"{digest} {encoding} {target}"
        path = store(self._directory, digest, FILES[encoding], builders)
        settings = Model(path=path, encoding=encoding.value, target=target.value)
        return (await self._start(key, digest[:16], settings, self._devices.for_bytes)).graph

    def _start(
        self, key: str, name: str, settings: Model, devices: Devices
    ) -> asyncio.Task[LocalModel | RemoteModel]:
        if key not in self._started:
            address = self._directory / f"m{next(self._numbers)}"
            self._started[key] = asyncio.create_task(start(name, settings, address, devices))
        return self._started[key]

    async def close(self) -> None:
        """End all processes."""
        for task in self._started.values():
            task.cancel()
        ended = await asyncio.gather(*self._started.values(), return_exceptions=True)
        await asyncio.gather(*(model.close() for model in ended if not isinstance(model, BaseException)))


async def start(
    name: str, settings: Model, address: Path, devices: Devices = NO_DEVICES
) -> LocalModel | RemoteModel:
    """A model, wherever it is served, or where it is preferred; see the two classes for what they raise."""
    if settings.kserve is None or (settings.in_both_places and settings.prefer != "remote"):
        return await LocalModel.start(name, settings, address, devices)
    plan = plan_elsewhere(await asyncio.to_thread(read_model, name, settings, Digests()))
    return await RemoteModel.start(plan, settings.kserve, address)


async def _close(servers: OipBackend, converters: Mapping[Side, LocalModel]) -> None:
    await asyncio.gather(servers.close(), *(one.close() for one in converters.values()))


def _around(
    plan: ModelPlan, servers: OipBackend, served: Signature, converters: Mapping[Side, LocalModel]
) -> ConvertingBackend:
    """The backend of a model with what converts for it."""
    inputs, outputs = converters.get("inputs"), converters.get("outputs")
    backend = ConvertingBackend(
        plan.name,
        servers,
        inputs.graph.backend if inputs is not None else None,
        outputs.graph.backend if outputs is not None else None,
    )
    told = outputs.ready.signature if outputs is not None else None
    backend.learn(seen(served, inputs.ready.signature if inputs is not None else None, told), served, told)
    return backend
