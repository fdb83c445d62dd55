"""What this worker serves: a snapshot replaces it whole; running requests end on the one they began with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from wasmind.edge.functions import Accounts, Function
from wasmind.edge.programs import LoadedProgram
from wasmind.edge.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.guest_api.kind import Kind
    from wasmind.guest_api.wasi_http import Client
    from wasmind.models.node import NodeModels
    from wasmind.node.messages import FunctionEntry, Snapshot
    from wasmind.sandbox import Engine
    from wasmind.telemetry.figures import EdgeFigures


class Deployment:
    """The functions and routes of the newest snapshot, and the older functions that still run."""

    def __init__(
        self,
        engine: Engine,
        models: NodeModels,
        figures: EdgeFigures,
        released: Callable[[int], object] = lambda _generation: None,
    ) -> None:
        """`released` hears of each generation that no request runs on any more."""
        self._engine = engine
        self._models = models
        self._accounts = Accounts(figures)
        self._released = released
        self._told = 0
        self._programs: dict[str, LoadedProgram] = {}
        self._functions: dict[tuple[str, str], Function] = {}
        self._retiring: set[Function] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self.router: Router[Function] = Router()
        self.generation = 0
        self.dev = False

    async def apply(self, snapshot: Snapshot) -> None:
        """Serve `snapshot` from now on. Raises ProgramError; then nothing has changed.

        Snapshots that come while one is being applied take their turns.
        """
        async with self._turn:
            await self._apply(snapshot)

    async def _apply(self, snapshot: Snapshot) -> None:
        loaded = await self._load({entry.artifact: entry.kind for entry in snapshot.functions})
        self._models.apply(snapshot.models)
        functions = {(e.tenant, e.name): self._function(e, loaded[e.artifact]) for e in snapshot.functions}
        replaced = [old for key, old in self._functions.items() if functions.get(key) is not old]
        self.router = Router(
            (entry.host, route, functions[entry.tenant, entry.name])
            for entry in snapshot.functions
            for route in entry.routes
        )
        for function in functions.values():
            function.generation = snapshot.generation
            function.account.slots.limit = function.limits.concurrency
        self._functions, self._programs = functions, loaded
        self.generation, self.dev = snapshot.generation, snapshot.dev
        self._retiring.update(replaced)
        for old in replaced:
            old.retiring = True
            self.left(old)
        self._tell()

    def left(self, function: Function) -> None:
        """A request of `function` has ended; the last one of an old version frees it."""
        if not function.running and function in self._retiring:
            self._retiring.discard(function)
            function.spare.close()
            function.loaded.release()
            if function.client is not None:
                self._leave(function.client)
            self._tell()

    def expire(self) -> None:
        """Drop the sandboxes that are ready for functions which nobody has asked for since the last call."""
        for function in self._functions.values():
            function.spare.expire()

    def close(self) -> None:
        """Free all programs. Nothing runs any more."""
        for function in (*self._functions.values(), *self._retiring):
            function.spare.close()
            function.loaded.release()
        self._functions, self._programs = {}, {}
        self._retiring.clear()
        self.router = Router()

    async def _load(self, artifacts: dict[str, Kind]) -> dict[str, LoadedProgram]:
        """All programs by artifact: those that are here, and new ones, read without holding the loop."""
        found: dict[str, LoadedProgram] = {}
        for path, kind in artifacts.items():
            here = self._programs.get(path)
            if here is None:
                here = await asyncio.to_thread(LoadedProgram.load, self._engine, Path(path), kind)
            found[path] = here
        return found

    def _function(self, entry: FunctionEntry, loaded: LoadedProgram) -> Function:
        models = self._models.granted(entry)
        old = self._functions.get((entry.tenant, entry.name))
        if old is not None and old.entry == entry and old.models.same(models):
            return old
        return Function(entry, loaded, models, self._accounts.of(entry))

    def _leave(self, client: Client) -> None:
        """Close the connections of a version that is gone."""
        task = asyncio.get_running_loop().create_task(client.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _tell(self) -> None:
        """Say which generations are done with, once each."""
        oldest = min((function.generation for function in self._retiring), default=self.generation)
        used = {served for f in (*self._functions.values(), *self._retiring) for served in f.models.served}
        self._models.keep(used)
        if oldest - 1 > self._told:
            self._told = oldest - 1
            self._released(self._told)
