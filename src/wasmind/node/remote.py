"""A model that is served elsewhere: its servers are asked for its signature again and again.

Edge workers send inferences to the servers themselves; they learn here what the model takes and gives, and
whether any server answers.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import uniform
from time import time
from typing import TYPE_CHECKING

import msgspec

from wasmind.backends.oip.backend import OipBackend
from wasmind.backends.oip.connect import connect
from wasmind.catalog import labels
from wasmind.errors import ConfigError, NnError, PackageMissing, UnsupportedOperation, WasmindError
from wasmind.node.status import ModelStatus
from wasmind.node.watched import watched
from wasmind.telemetry.logs import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.config import KServe
    from wasmind.node.plan import ModelPlan
    from wasmind.node.words import State
    from wasmind.telemetry.logs import Logger
    from wasmind.worker.spec import Ready

REFRESH_S = 10.0
"""How often servers that answer are asked again."""
PAUSES_S = 0.25, 5.0
"""After the first time that none answers; each further pause is twice as long, up to the second."""


class RemoteModel:
    """One model of a node that is served elsewhere (a `ServedModel`)."""

    def __init__(
        self, plan: ModelPlan, settings: KServe, changed: Callable[[RemoteModel], None], logger: Logger
    ) -> None:
        """`changed` hears of every change of `entry`."""
        self.plan = plan
        self.entry = plan.entry("")
        self.failure: WasmindError | None = None
        """Why it was given up; a server that is away is none."""
        self.report: Ready | None = None
        self.used = 0.0
        self._servers = settings.urls
        self._changed = changed
        self._logger = logger.bind(model=plan.name)
        self._backend = OipBackend(plan.name, lambda: connect(settings, 0))
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    def adopt(self, plan: ModelPlan) -> None:
        """Take over a newer plan of the same model."""
        self.plan = plan
        new = plan.entry("")
        self.entry = msgspec.structs.replace(
            self.entry,
            labels=new.labels,
            queue=new.queue,
            when_down=new.when_down,
            alternative=new.alternative,
        )

    @property
    def given_up(self) -> bool:
        """Whether only a reload starts it again."""
        return self.entry.state == "failed"

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self.entry.state == "stopped"

    def want(self, tenant: str) -> None:
        """Nothing is to be loaded here."""

    def rest(self) -> None:
        """Its servers are looked after all the same."""
        self.start()

    async def unload(self, reason: str, *, on_use: bool = True) -> None:
        """Refused: it is its servers' to unload. Raises UnsupportedOperation."""
        raise UnsupportedOperation(
            f"the model {self.plan.title!r} is served elsewhere, so it takes no memory here",
            remedy="unload it on its server",
        )

    def start(self, tenant: str | None = None) -> None:
        """Look after its servers until `stop`, or until it is given up."""
        self.failure = None
        self._settled.clear()
        self._task = watched(self._watch())

    async def settled(self) -> None:
        """Wait until a server has described it, or none could at first."""
        await self._settled.wait()

    async def _watch(self) -> None:
        try:
            for server in connect(self._settings, 0):
                await server.transport.close()
        except (ConfigError, PackageMissing) as error:
            self._give_up(error)
            return
        first, longest = PAUSES_S
        pause = first
        while True:
            try:
                signature = await self._backend.refresh()
                labels.check(self.plan.name, self.plan.labels, signature)
            except NnError as error:
                self._away(error, pause)
                self._settled.set()
                await asyncio.sleep(pause * uniform(0.8, 1.2))  # noqa: S311 - jitter
                pause = min(2 * pause, longest)
            except ConfigError as error:
                self._give_up(error)
                return
            else:
                pause = first
                if self.entry.state != "ready" or self.entry.signature != signature:
                    self._logger.info("model ready", servers=" ".join(self._servers))
                    self._become("ready", None, signature=signature)
                self._settled.set()
                await asyncio.sleep(REFRESH_S * uniform(0.8, 1.2))  # noqa: S311 - jitter

    def _away(self, error: WasmindError, pause: float) -> None:
        reason = error.explain()
        if self.entry.state != "away":
            self._logger.warning("model's servers are away", **failure(error))
        if self.entry.state != "away" or self.entry.reason != reason:
            self._become("away", reason, retry_at=time() + pause)

    def _give_up(self, error: WasmindError) -> None:
        self.failure = error
        self._logger.error("model failed", **failure(error))
        self._become("failed", error.explain())
        self._settled.set()

    def _become(self, state: State, reason: str | None, **changes: object) -> None:
        changes.setdefault("retry_at", None)
        self.entry = msgspec.structs.replace(self.entry, state=state, reason=reason, **changes)
        self._changed(self)

    async def stop(self) -> None:
        """Ask its servers no more."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._backend.close()
        self._become("stopped", "the model was removed")
        self._settled.set()

    def status(self, functions: tuple[str, ...]) -> ModelStatus:
        """How it is; `functions` are those that may name it."""
        entry = self.entry
        return ModelStatus(
            id=entry.id,
            name=self.plan.name,
            version=self.plan.version,
            names=self.plan.names,
            scope=entry.scope,
            digest=entry.digest,
            state=entry.state,
            encoding=self.plan.spec.encoding,
            runtime=self.plan.spec.runtime,
            reason=entry.reason,
            signature=entry.signature,
            description=self.plan.description,
            labels=len(entry.labels),
            servers=self._servers,
            functions=functions,
        )
