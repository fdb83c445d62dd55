"""Who watches a node come up, or take up a new configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wasmind.catalog.storage.fetch import Transfer
from wasmind.errors import NodeError
from wasmind.telemetry.logs import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.guest_api.program import Compiled
    from wasmind.node.models import ServedModel
    from wasmind.node.status import NodeStatus
    from wasmind.telemetry.logs import Logger


class Progress(Transfer, Protocol):
    """Hears of each step; the command line shows bars, a service writes lines."""

    def begin(self, functions: Sequence[str], models: Sequence[str]) -> None:
        """These functions are to be compiled and these models loaded."""

    def function(self, name: str, compiled: Compiled) -> None:
        """A function is compiled, now or earlier."""

    def model(self, model: ServedModel) -> None:
        """A model is ready, or its first process failed."""

    def end(self) -> None:
        """All of it is done, or was given up."""

    def ready(self, status: NodeStatus) -> None:
        """The node serves."""


class LoggedProgress:
    """Writes a record for each step."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def begin(self, functions: Sequence[str], models: Sequence[str]) -> None:
        """Say how much there is to do."""
        self._logger.info("compiling and loading", functions=len(functions), models=len(models))

    def fetching(self, uri: str, size: int) -> None:
        """Say that a model is being fetched."""
        self._logger.info("fetching a model", source=uri, bytes=size)

    def arrived(self, uri: str, size: int) -> None:
        """A record for each would be too much."""

    def fetched(self, uri: str) -> None:
        """Say that it is here."""
        self._logger.info("model fetched and verified", source=uri)

    def function(self, name: str, compiled: Compiled) -> None:
        """Say that a function can run."""
        self._logger.info("function compiled", function=name, bytes=compiled.size)

    def model(self, model: ServedModel) -> None:
        """Say that a model is ready; why one is not, was said when it failed."""
        report = model.report
        if model.entry.state == "ready" and report:
            seconds = (report.load_ms + report.warm_up_ms) / 1000
            self._logger.info("model ready", model=model.plan.title, runtime=report.runtime, seconds=seconds)
            for note in report.notes:
                self._logger.info(note, model=model.plan.title)
        elif model.failure:
            self._logger.error("model not ready", model=model.plan.title, **failure(model.failure))

    def end(self) -> None:
        """Nothing more to say."""

    def ready(self, status: NodeStatus) -> None:
        """Say where what is served."""
        for function in status.functions:
            facts = {"host": function.host, "methods": function.methods, "models": function.models}
            shown = {
                key: value if isinstance(value, str) else " ".join(value)
                for key, value in facts.items()
                if value
            }
            for route in function.routes:
                self._logger.info(f"{status.functions_url}{route}", function=function.name, **shown)
        for problem in status.problems:
            self._logger.warning("not served", problem=problem)
        where = {"functions": status.functions_url, "api": status.api_url}
        if status.inference_url is not None:
            where |= {"inference": status.inference_url, "grpc": status.inference_grpc or "-"}
        self._logger.info("ready", **where)


class Fetching:
    """Passes on how models come, until the node stops: then their transfers end where they are."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._stopped = False

    def stop(self) -> None:
        """End the transfers; what has come is kept for the next start."""
        self._stopped = True

    def fetching(self, uri: str, size: int) -> None:
        """Pass it on."""
        self.arrived(uri, 0)
        self._transfer.fetching(uri, size)

    def arrived(self, uri: str, size: int) -> None:
        """Pass it on, or end this transfer. Raises NodeError."""
        if self._stopped:
            raise NodeError("the node stops, and the models that come are given up")
        self._transfer.arrived(uri, size)

    def fetched(self, uri: str) -> None:
        """Pass it on."""
        self._transfer.fetched(uri)
