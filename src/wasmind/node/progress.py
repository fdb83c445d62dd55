"""Who watches a node come up, or take up a new configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from wasmind.telemetry.logs import failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.guest_api.program import Compiled
    from wasmind.node.models import ServedModel
    from wasmind.node.status import NodeStatus
    from wasmind.telemetry.logs import Logger


class Progress(Protocol):
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

    def function(self, name: str, compiled: Compiled) -> None:
        """Say that a function can run."""
        self._logger.info("function compiled", function=name, bytes=compiled.size)

    def model(self, model: ServedModel) -> None:
        """Say that a model is ready; why one is not, was said when it failed."""
        report = model.report
        if model.entry.state == "ready" and report:
            seconds = (report.load_ms + report.warm_up_ms) / 1000
            self._logger.info("model ready", model=model.plan.name, runtime=report.runtime, seconds=seconds)
            for note in report.notes:
                self._logger.info(note, model=model.plan.name)
        elif model.failure:
            self._logger.error("model not ready", model=model.plan.name, **failure(model.failure))

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
        self._logger.info("ready", functions=status.functions_url, api=status.api_url)
