"""A model's process: started, watched, restarted with back-off, quarantined when that does not help."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

import msgspec

from wasmind.catalog import labels
from wasmind.errors import (
    ConfigError,
    InvalidEncoding,
    ModelDied,
    ModelUnavailable,
    UnsupportedOperation,
    WasmindError,
)
from wasmind.node.backoff import Backoff
from wasmind.node.residency import Residency
from wasmind.node.status import ModelStatus
from wasmind.node.watched import watched
from wasmind.node.words import State
from wasmind.telemetry.logs import failure
from wasmind.worker.spawn import WorkerProcess, listen, spawn
from wasmind.worker.spec import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.node.messages import ModelEntry
    from wasmind.node.plan import ModelPlan
    from wasmind.telemetry.logs import Logger
    from wasmind.worker.spec import Ready

STOP_SECONDS = 5.0
"""How long a process may take to answer what it has accepted, once told to stop."""
RETRY_SECONDS = 1.0
"""After the first load that fails; each further pause is twice as long."""
_FINAL = (ConfigError, InvalidEncoding, UnsupportedOperation)
"""Refusals that trying again does not change."""


class ServedModel(Protocol):
    """One model of a node, wherever it is served."""

    plan: ModelPlan
    entry: ModelEntry
    """What edge workers are told of it."""
    report: Ready | None
    """What its newest process said of it."""

    @property
    def failure(self) -> WasmindError | None:
        """Why it was given up or is being restarted; None while all is well."""

    def adopt(self, plan: ModelPlan) -> None:
        """Take over a newer plan of the same model: what it is called to people, how edges treat it."""

    @property
    def given_up(self) -> bool:
        """Whether only a reload starts it again."""

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""

    used: float
    """When it was used last, in seconds of CLOCK_MONOTONIC."""

    def start(self, tenant: str | None = None) -> None:
        """Serve it until `unload` or `stop`, or until it is given up. `tenant`: whose function wants it."""

    async def settled(self) -> None:
        """Wait until it serves, or could not at first."""

    def want(self, tenant: str) -> None:
        """A tenant's function uses it while it is not in memory."""

    def rest(self) -> None:
        """Do not load it before it is used."""

    async def unload(self, reason: str, *, on_use: bool = True) -> None:
        """Take it out of memory. Raises UnsupportedOperation where it is served elsewhere."""

    async def stop(self) -> None:
        """Serve it no more."""

    def status(self, functions: tuple[str, ...]) -> ModelStatus:
        """How it is; `functions` are those that may name it."""


class ProcessModel:
    """One model: its process changes when it dies; its socket stays, and connections wait in it meanwhile."""

    def __init__(
        self,
        plan: ModelPlan,
        socket_path: Path,
        changed: Callable[[ProcessModel], None],
        logger: Logger,
        residency: Residency | None = None,
    ) -> None:
        """`changed` hears of every change of `entry`; `residency` says when it may load."""
        self.plan = plan
        self.entry = plan.entry(str(socket_path))
        self.restarts = 0
        self.failure: WasmindError | None = None
        """Why it was given up or is being restarted; None while all is well."""
        self.report: Ready | None = None
        """What its newest process said of it."""
        self.used = monotonic()
        self._changed = changed
        self._residency = residency or Residency()
        self._logger = logger.bind(model=plan.title)
        self._backoff = Backoff()
        self._listener = listen(socket_path)
        self._path = socket_path
        self._process: WorkerProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._leaving = False
        self._recalled: tuple[str | None] | None = None
        """Somebody wants it back while it leaves, and who."""
        self._settled = asyncio.Event()

    def adopt(self, plan: ModelPlan) -> None:
        """Take over a newer plan of the same process: what it is called to people, how edges treat it."""
        self.plan = plan
        now, new = self.entry, plan.entry(self.entry.socket)
        self.entry = msgspec.structs.replace(
            now,
            labels=new.labels,
            queue=new.queue,
            shared_memory=new.shared_memory,
            when_down=new.when_down,
            alternative=new.alternative,
            cache=new.cache,
        )

    @property
    def given_up(self) -> bool:
        """Whether only a reload starts it again."""
        entry = self.entry
        return entry.state == "quarantined" or (entry.state == "failed" and entry.retry_at is None)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self.entry.state == "stopped"

    @property
    def can_leave(self) -> bool:
        """Whether it may be unloaded to make room."""
        return self.entry.state == "ready" and not self.plan.settings.pin

    def start(self, tenant: str | None = None) -> None:
        """Load it, and keep a process running until `unload` or `stop`, or until it is given up."""
        if self._leaving:
            self._recalled = (tenant,)
            self._settled.clear()
        elif self._task is None or self._task.done():
            if self.entry.state != "loading":
                self._backoff, self._failures = Backoff(), 0
                self._settled.clear()
                self._become("loading", "its process loads it", on_use=True)
            self._task = watched(self._keep_running(tenant))

    def want(self, tenant: str) -> None:
        """A tenant's function uses it while it is not in memory; asked often, it is loaded once."""
        self.used = monotonic()
        if self.entry.state == "unloaded" and self.entry.on_use:
            self.start(tenant)

    def rest(self) -> None:
        """Do not load it before it is used."""
        self._become("unloaded", "it is loaded when it is first used", on_use=True)
        self._settled.set()

    async def unload(self, reason: str, *, on_use: bool = True) -> None:
        """Take it out of memory once what edge workers have sent is answered.

        Its next use loads it again, or, without `on_use`, only `start` does.
        """
        if self.stopped or self._leaving:
            return
        serving = self.entry.state == "ready"
        self._leaving = True
        # Edge workers hear of it first: they send no more, and leave when all is answered.
        self._become("unloaded", reason, on_use=on_use)
        self._settled.set()
        try:
            if serving and self._process is not None:
                await self._process.leave(self.plan.settings.deadline_ms / 1000 + STOP_SECONDS)
            await self._end_task()
        finally:
            self._leaving = False
            self._residency.left(self)
        recalled, self._recalled = self._recalled, None
        if recalled and not self.stopped:
            self.start(*recalled)

    async def settled(self) -> None:
        """Wait until it serves, or its first process failed."""
        await self._settled.wait()

    async def _keep_running(self, tenant: str | None) -> None:
        served = False
        while True:
            self._backoff.born()
            try:
                words = await self._live(tenant)
                served = True
            except WasmindError as error:
                if not served:
                    if await self._shall_retry(error):
                        continue
                    return
                words = error.explain()
            if self._leaving:
                return
            tenant = None
            delay = self._backoff.died()
            if self._backoff.hopeless:
                self._give_up("quarantined", self._hopeless(words))
                return
            await self._wait_for_restart(words, delay)

    async def _live(self, tenant: str | None) -> str:
        """One process's life, and how it ended. Raises what kept it from serving."""
        assert isinstance(self.plan.spec, WorkerSpec)
        process = None
        patience = 0.0  # one that still loads has accepted nothing
        try:
            async with self._residency.turn(self, tenant):
                process = self._process = await spawn(self.plan.spec, self._listener, log=self._log)
                self.report = report = await process.ready()
                patience = STOP_SECONDS
                labels.check(self.plan.name, self.plan.labels, report.signature)
            # Measured from here: what the process says of itself is a model's word.
            usage = process.usage()
            self._residency.measured(self, usage.memory if usage else report.memory)
            self.failure = None
            self.used = monotonic()
            self._become("ready", None, signature=report.signature)
            self._settled.set()
            return (await process.wait()).reason
        finally:
            if process is not None:
                self._process = None
                await process.stop(patience)

    async def _shall_retry(self, error: WasmindError) -> bool:
        """Tell that it cannot be loaded; True once it is time to try again, False when it is given up."""
        self._failures += 1
        if self._leaving:
            return False
        if isinstance(error, _FINAL) or self.plan.attempts == 1:
            self._give_up("failed", error)
            return False
        if self._failures >= self.plan.attempts:
            self._give_up(
                "quarantined",
                ModelUnavailable(
                    f"the model is quarantined: loading it failed {self._failures} times in a row",
                    cause=error.explain(),
                    remedy="mend the model or its settings, then reload",
                ),
            )
            return False
        delay = RETRY_SECONDS * 2.0 ** (self._failures - 1)
        self.failure = error
        self._logger.error("model failed", retry_in_seconds=delay, **failure(error))
        self._become("failed", error.explain(), retry_at=time() + delay)
        self._settled.set()
        await asyncio.sleep(delay)
        return True

    async def _wait_for_restart(self, words: str, delay: float) -> None:
        self.restarts += 1
        self.failure = ModelDied(f"the process of the model {self.plan.name!r} died", cause=words)
        self._logger.error("model's process died", how=words, restart_in_seconds=round(delay, 2))
        self._become("restarting", words, retry_at=time() + delay)
        self._settled.set()
        await asyncio.sleep(delay)

    def _hopeless(self, words: str) -> ModelUnavailable:
        return ModelUnavailable(
            f"the model is quarantined: its process died {self._backoff.deaths} times in a row",
            cause=words,
            remedy="mend the model or its settings, then reload",
        )

    def _give_up(self, state: State, error: WasmindError) -> None:
        self.failure = error
        self._residency.left(self)
        self._logger.error(f"model {state}", **failure(error))
        self._become(state, error.explain())
        self._settled.set()

    def _log(self, line: str) -> None:
        self._logger.info(line, stream="stderr")

    def _become(self, state: State, reason: str | None, **changes: object) -> None:
        """Change the entry and tell; each change of process counts the incarnation up."""
        changes.setdefault("retry_at", None)
        self.entry = msgspec.structs.replace(
            self.entry, state=state, reason=reason, incarnation=self.entry.incarnation + 1, **changes
        )
        self._changed(self)

    async def stop(self) -> None:
        """End its process and remove its socket."""
        if self._leaving and self._process is not None:
            self._process.kill("it was stopped while it left")
        await self._end_task()
        self._residency.left(self)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._become("stopped", "the model was stopped")
        self._settled.set()

    async def _end_task(self) -> None:
        task = self._task
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def status(self, functions: tuple[str, ...]) -> ModelStatus:
        """How it is; `functions` are those that may name it."""
        ready, process = self.report, self._process
        usage = process.usage() if process else None
        return ModelStatus(
            id=self.entry.id,
            name=self.plan.name,
            version=self.plan.version,
            names=self.plan.names,
            scope=self.entry.scope,
            digest=self.entry.digest,
            state=self.entry.state,
            encoding=self.plan.spec.encoding,
            runtime=ready.runtime if ready else self.plan.spec.runtime,
            reason=self.entry.reason,
            signature=self.entry.signature,
            description=self.plan.description,
            labels=len(self.entry.labels),
            pid=process.pid if process else None,
            restarts=self.restarts,
            load_seconds=(ready.load_ms + ready.warm_up_ms) / 1000 if ready else None,
            memory=usage.memory if usage else None,
            functions=functions,
        )
