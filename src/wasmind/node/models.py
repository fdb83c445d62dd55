"""A model's process: started, watched, restarted with back-off, quarantined when that does not help."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from wasmind.catalog import labels
from wasmind.errors import ModelDied, ModelUnavailable, WasmindError
from wasmind.node.backoff import Backoff
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


class ServedModel(Protocol):
    """One model of a node, wherever it is served."""

    plan: ModelPlan
    entry: ModelEntry
    """What edge workers are told of it."""
    failure: WasmindError | None
    """Why it was given up or is being restarted; None while all is well."""
    report: Ready | None
    """What its newest process said of it."""

    def adopt(self, plan: ModelPlan) -> None:
        """Take over a newer plan of the same model: what it is called to people, how edges treat it."""

    @property
    def given_up(self) -> bool:
        """Whether only a reload starts it again."""

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""

    def start(self) -> None:
        """Serve it until `stop`, or until it is given up."""

    async def settled(self) -> None:
        """Wait until it serves, or could not at first."""

    async def stop(self) -> None:
        """Serve it no more."""

    def status(self, functions: tuple[str, ...]) -> ModelStatus:
        """How it is; `functions` are those that may name it."""


class ProcessModel:
    """One model: its process changes when it dies; its socket stays, and connections wait in it meanwhile."""

    def __init__(
        self, plan: ModelPlan, socket_path: Path, changed: Callable[[ProcessModel], None], logger: Logger
    ) -> None:
        """`changed` hears of every change of `entry`."""
        self.plan = plan
        self.entry = plan.entry(str(socket_path))
        self.restarts = 0
        self.failure: WasmindError | None = None
        """Why it was given up or is being restarted; None while all is well."""
        self.report: Ready | None = None
        """What its newest process said of it."""
        self._changed = changed
        self._logger = logger.bind(model=plan.name)
        self._backoff = Backoff()
        self._listener = listen(socket_path)
        self._path = socket_path
        self._process: WorkerProcess | None = None
        self._task: asyncio.Task[None] | None = None
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
        )

    @property
    def given_up(self) -> bool:
        """Whether only a reload starts it again."""
        return self.entry.state in ("failed", "quarantined")

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self.entry.state == "stopped"

    def start(self) -> None:
        """Start its process, and keep one running until `stop`, or until it is given up."""
        if self.given_up:
            self._backoff = Backoff()
            self._settled.clear()
            self._become("loading", "its process loads it")
        self._task = watched(self._keep_running())

    async def settled(self) -> None:
        """Wait until it serves, or its first process failed."""
        await self._settled.wait()

    async def _keep_running(self) -> None:
        first = True
        while True:
            self._backoff.born()
            try:
                words = await self._live()
            except WasmindError as error:
                if first and not isinstance(error, ModelDied):
                    self._give_up("failed", error)
                    return
                words = error.explain()
            first = False
            delay = self._backoff.died()
            if self._backoff.hopeless:
                self._give_up("quarantined", self._hopeless(words))
                return
            await self._wait_for_restart(words, delay)

    async def _live(self) -> str:
        """One process's life, and how it ended. Raises what kept it from serving."""
        assert isinstance(self.plan.spec, WorkerSpec)
        process = await spawn(self.plan.spec, self._listener, log=self._log)
        self._process = process
        patience = 0.0  # one that still loads has accepted nothing
        try:
            self.report = report = await process.ready()
            patience = STOP_SECONDS
            labels.check(self.plan.name, self.plan.labels, report.signature)
            self.failure = None
            self._become("ready", None, signature=report.signature)
            self._settled.set()
            return (await process.wait()).reason
        finally:
            self._process = None
            await process.stop(patience)

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
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._become("stopped", "the model was stopped")
        self._settled.set()

    def status(self, functions: tuple[str, ...]) -> ModelStatus:
        """How it is; `functions` are those that may name it."""
        ready, process = self.report, self._process
        usage = process.usage() if process else None
        return ModelStatus(
            id=self.entry.id,
            name=self.entry.name,
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
