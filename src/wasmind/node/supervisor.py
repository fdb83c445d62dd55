"""The supervisor: it starts a node's processes, watches them, reloads, and stops them in order.

It holds no request state. Edge workers and the control process end when it does; so do model workers.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING, Any

import wasmind
from wasmind.errors import NodeError, WasmindError
from wasmind.node.callers import serves_inference
from wasmind.node.child import raise_descriptor_limit
from wasmind.node.control import Control
from wasmind.node.edges import Edges
from wasmind.node.figures import NodeFigures
from wasmind.node.fixed import fixed_settings, with_running_stack
from wasmind.node.fleet import Fleet
from wasmind.node.inference import Inference
from wasmind.node.learned import Learned
from wasmind.node.manage import manage
from wasmind.node.messages import ModelState
from wasmind.node.misfits import warn_of_misfits
from wasmind.node.notify import notify
from wasmind.node.plan import compile_functions, make_plan
from wasmind.node.progress import Fetching
from wasmind.node.report import function_statuses, model_problems, model_statuses, with_cards
from wasmind.node.serving import Serving
from wasmind.node.state import StateDir, listen_on_status
from wasmind.node.status import NodeStatus, StatusServer
from wasmind.node.uploads import Uploads
from wasmind.node.watched import watched
from wasmind.node.words import Failure
from wasmind.telemetry.logs import failure
from wasmind.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from wasmind.config import Config
    from wasmind.node.models import ServedModel
    from wasmind.node.plan import Plan
    from wasmind.node.progress import Progress
    from wasmind.node.status import Phase, Request
    from wasmind.telemetry.logs import Logger

FLUSH_SECONDS = 1.0
"""How often metrics are written for the scraper."""


class Supervisor:
    """One node, from start to end."""

    def __init__(
        self,
        read: Callable[[], Config],
        source: str | None,
        state: StateDir,
        logger: Logger,
        progress: Progress,
    ) -> None:
        """`read` gives the configuration, each time anew; `source` says for people where it stands.

        Takes the node's ports. Raises NodeError, ConfigError.
        """
        self._read = read
        self._source = source
        self._state = state
        self._logger = logger
        self._progress = progress
        self._fetching = Fetching(progress)
        self._config = read()
        node = self._config.node
        self._registry = Registry(state.metrics)
        self._figures = NodeFigures(self._registry)
        self._fleet = Fleet(state.run, self._model_changed, logger, self._figures.loads)
        self._uploads = Uploads(self._fleet)
        self._learned = Learned(state.path)
        self._edges = Edges(
            node,
            node.workers or len(os.sched_getaffinity(0)),
            state,
            lambda: self._served().snapshot(self._fleet),
            self._uploads.load,
            self._fleet.heard,
            logger,
        )
        self._inference = Inference(
            node,
            self._config.inference.workers,
            state,
            lambda: self._served().inference_snapshot(self._fleet),
            lambda asked: manage(self._fleet, asked),
            self._fleet.heard,
            logger,
        )
        if serves_inference(self._config):
            self._inference.open()
        self._groups = (self._edges.group, self._inference.group)
        self._control = Control(node, state, logger)
        self._status_server = StatusServer(self._act)
        self._serving: Serving | None = None
        self._phase: Phase = "starting"
        self._began = time()
        self._reload_failure: WasmindError | None = None
        self._fault: NodeError | None = None
        self._reloading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until told to stop. Raises WasmindError if the node cannot start."""
        raise_descriptor_limit()
        asyncio.get_running_loop().set_exception_handler(self._broken)
        self._handle_signals()
        self._spawn(self._write_figures())
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            stopping.cancel()
            starting.cancel()
            with suppress(asyncio.CancelledError, WasmindError):
                await starting
            self._progress.end()
            await self._stop()
        if self._fault:
            raise self._fault

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._told_to_stop)
        loop.add_signal_handler(signal.SIGINT, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload_by_signal()))

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A part of the supervisor failed unforeseen: a node that is not watched must not go on."""
        loop.default_exception_handler(context)
        if isinstance(context.get("exception"), Exception):
            self._fault = NodeError("the supervisor failed", cause=context["message"])
            self._stopping.set()

    def _told_to_stop(self) -> None:
        if self._stopping.is_set():
            self._logger.warning("told again to stop: requests under way are cut")
            for group in self._groups:
                group.kill()
        else:
            self._logger.info("stopping: requests under way are finished first")
        self._stopping.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = watched(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self) -> None:
        await self._status_server.start(listen_on_status(self._state.path))
        self._control.run()
        plan = await asyncio.to_thread(make_plan, self._config, self._state.path, self._fetching)
        self._serving, started = await self._prepare(plan, 1)
        await asyncio.gather(*(group.start() for group in self._groups))
        await self._settled(started)
        self._progress.end()
        self._phase = "ready"
        for note in self._notes:
            self._logger.warning(note)
        self._progress.ready(self.status())
        notify(f"READY=1\nMAINPID={os.getpid()}")

    async def _stop(self) -> None:
        self._phase = "draining"
        self._fetching.stop()
        notify("STOPPING=1")
        for task in self._tasks:
            task.cancel()
        node = self._serving.plan.node if self._serving else self._config.node
        seconds = node.drain_ms / 1000
        await asyncio.gather(*(group.drain(seconds) for group in self._groups))
        await self._fleet.close()
        self._stopped.set()
        await self._control.stop()
        await self._status_server.close()
        self._registry.close()
        self._logger.info("stopped")

    # --- what is served -------------------------------------------------------------------------------------

    async def _prepare(self, plan: Plan, generation: int) -> tuple[Serving, list[ServedModel]]:
        """Start the models that are new in `plan`, compile its functions meanwhile; returns those models."""
        self._fleet.residency.budget = plan.model_memory
        self._uploads.devices = plan.devices.for_bytes
        replacing = plan.replacing(self._serving.plan) if self._serving else ()
        started = self._fleet.start((self._learned.applied_to(model) for model in plan.models), replacing)
        self._progress.begin([f.name for f in plan.functions], [model.plan.title for model in started])
        try:
            functions = await compile_functions(plan, self._state.cache, self._progress.function)
        except BaseException:
            await self._forget(started)
            raise
        return Serving(generation, plan, functions), started

    async def _settled(self, models: Iterable[ServedModel]) -> None:
        async def one(model: ServedModel) -> None:
            await model.settled()
            self._progress.model(model)

        await asyncio.gather(*(one(model) for model in models))

    async def _forget(self, started: Iterable[ServedModel]) -> None:
        """Stop models that were started for a configuration that was not taken up."""
        kept = self._serving.models if self._serving else frozenset()
        await self._fleet.stop({model.plan.id for model in started} - kept)

    async def reload(self) -> None:
        """Read the configuration again and serve it. Raises WasmindError; then nothing has changed."""
        async with self._reloading:
            before = self._serving
            if before is None or self._phase != "ready":
                raise NodeError(f"the node is {self._phase}: it cannot reload now")
            try:
                config, self._serving = await self._renewed(before)
                await self._apply()
            except WasmindError as error:
                await self._go_back_to(before)
                self._reload_failure = error
                self._logger.error("reload refused: nothing has changed", **failure(error))  # noqa: TRY400 - explained
                raise
            finally:
                self._progress.end()
            self._reload_failure = None
            for setting in fixed_settings(self._config, config):
                self._logger.warning("a changed setting needs a restart", setting=setting)
            self._logger.info(
                "reloaded", generation=self._serving.generation, functions=len(self._serving.functions)
            )
            self._spawn(self._retire(before))
            self._spawn(self._fleet.residency.shrink())

    async def _renewed(self, before: Serving) -> tuple[Config, Serving]:
        """What the configuration says now, its new models ready."""
        config = await asyncio.to_thread(self._read)
        plan = await asyncio.to_thread(make_plan, config, self._state.path, self._fetching)
        plan = with_running_stack(plan, before.plan)
        serving, started = await self._prepare(plan, before.generation + 1)
        await self._settled(started)
        failed = [m.failure for m in started if m.failure and m.plan.id not in before.models]
        if failed:
            await self._forget(started)
            raise failed[0]
        self._fleet.adopt(self._learned.applied_to(model) for model in plan.models)
        return config, serving

    async def _go_back_to(self, before: Serving) -> None:
        """Serve `before` again, if an edge worker could not do what was told after it."""
        refused = self._serving
        if refused is None or refused is before:
            return
        self._serving = replace(before, generation=refused.generation + 1)
        self._fleet.adopt(self._learned.applied_to(model) for model in before.plan.models)
        with suppress(WasmindError):  # its state says so
            await self._apply()
        await self._fleet.stop(refused.models - before.models)

    async def _reload_by_signal(self) -> None:
        notify("RELOADING=1")
        with suppress(WasmindError):  # it was logged
            await self.reload()
        notify("READY=1")

    async def _retire(self, before: Serving) -> None:
        """Stop the models that only `before` had, once no request runs on it."""
        await asyncio.gather(*(group.released(before.generation) for group in self._groups))
        if self._serving:
            await self._fleet.stop(before.models - self._serving.models)

    def _model_changed(self, model: ServedModel) -> None:
        entry = model.entry
        for group in self._groups:
            group.tell(ModelState(model=entry))
        self._learned.keep(model)
        if entry.state == "ready":
            warn_of_misfits(self._fleet.models, entry.id, self._logger)

    def _served(self) -> Serving:
        if self._serving is None:
            raise NodeError("an edge worker was started before there is anything to serve")
        return self._serving

    async def _apply(self) -> None:
        """Have all processes serve what is served now. Raises NodeError if one refuses it."""
        serving = self._served()
        await self._edges.group.apply(serving.snapshot(self._fleet))
        await self._inference.apply(serving.inference_snapshot(self._fleet))

    # --- what is said of it ---------------------------------------------------------------------------------

    async def _act(self, request: Request) -> NodeStatus:
        match request.command:
            case "load":
                await self._fleet.load(request.model or "")
            case "unload":
                await self._fleet.unload(request.model or "")
            case "reload":
                await self.reload()
            case "drain":
                self._phase = "draining"
            case "stop":
                if not self._stopping.is_set():
                    self._told_to_stop()
                await self._stopped.wait()
            case "status":
                pass
        return self.status()

    def status(self) -> NodeStatus:
        """How the node is."""
        serving = self._serving
        plan = serving.plan if serving else None
        host, rest, grpc = self._config.node.host, self._inference.rest_port, self._inference.grpc_port
        return NodeStatus(
            version=wasmind.__version__,
            pid=os.getpid(),
            phase=self._phase,
            started=self._began,
            generation=serving.generation if serving else 0,
            config=self._source,
            dev=plan.dev if plan else self._config.node.dev,
            functions_url=_url(host, self._edges.port),
            api_url=_url(host, self._control.port),
            inference_url=None if rest is None else _url(host, rest),
            inference_grpc=None if grpc is None else _address(host, grpc),
            inference=self._inference.group.status(),
            edges=self._edges.group.status(),
            models=with_cards(self._fleet, model_statuses(self._fleet, plan), self._learned.figures),
            functions=function_statuses(plan),
            problems=self._problems(serving),
            reload_failure=Failure.of(self._reload_failure) if self._reload_failure else None,
            notes=self._notes,
        )

    def _problems(self, serving: Serving | None) -> tuple[str, ...]:
        if self._phase == "draining":
            return ("the node drains",)
        if serving is None:
            return ("the node is starting",)
        return (
            *(problem for group in self._groups for problem in group.problems),
            *model_problems(self._fleet, serving.models),
        )

    @property
    def _notes(self) -> tuple[str, ...]:
        return tuple(note for group in self._groups for note in group.notes)

    async def _write_figures(self) -> None:
        while True:
            self._figures.loads.used.value = self._fleet.residency.used
            self._figures.loads.budget.value = self._fleet.residency.budget or 0
            self._figures.update(
                model_statuses(self._fleet, None),
                self._edges.group.status(),
                control_restarts=self._control.restarts,
                generation=self._serving.generation if self._serving else 0,
                reload_refused=self._reload_failure is not None,
            )
            self._registry.flush()
            await asyncio.sleep(FLUSH_SECONDS)


def _url(host: str, port: int) -> str:
    return f"http://{_address(host, port)}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
