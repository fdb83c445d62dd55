"""Calls to a model that works step by step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import numpy as np

from wasmind.errors import ModelLoadFailed
from wasmind.worker.generations import Generations
from wasmind.worker.inference import Runner
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.nn.signature import Signature
    from wasmind.worker.call import Call
    from wasmind.worker.runtimes.base import Array, Execution, Generation, SteppingExecution
    from wasmind.worker.spec import WorkerSpec


class SteppingRunner(Runner):
    """One thread's execution of such a model: of whole inferences, and of steps of those under way."""

    def __init__(
        self, execution: SteppingExecution, signature: Signature, shapes: Shapes, generations: Generations
    ) -> None:
        super().__init__(execution, signature, shapes)
        self._stepping = execution
        self._generations = generations

    def run(self, calls: Sequence[Call]) -> None:
        """Run and answer these calls, one by one."""
        for call in calls:
            try:
                if not self._is_due(call):
                    if call.message.dims:
                        self._generations.give_back()
                elif call.message.generation:
                    self._step(call)
                else:
                    self._run_whole(call)
            except Exception as error:  # noqa: BLE001 - whatever the framework raises is the answer
                self._explain(call, error)

    def _run_whole(self, call: Call) -> None:
        try:
            self._run_alone(call)
        finally:
            self._generations.give_back()

    def _step(self, call: Call) -> None:
        with self._generations.step(call, lambda: self._begin(call)) as generation:
            outputs = self._execute_step(call, generation)
            took = time.monotonic_ns() - self.started
        # Not before the step is over: the next one may come at once, to another thread.
        self._answer(call, outputs, self._nowhere, took, 1)

    def _begin(self, call: Call) -> Generation:
        """Begin, watched like any run."""
        self.started = time.monotonic_ns()
        self.calls = (call,)
        try:
            return self._stepping.begin(self._inputs(call))
        finally:
            self.calls = None

    def _inputs(self, call: Call) -> list[Array]:
        message = call.message
        return [
            call.connection.array_at(data, DTYPES[spec.type], dims)
            if isinstance(data, int)
            else np.frombuffer(data, DTYPES[spec.type]).reshape(dims)
            for data, dims, spec in zip(message.data, message.dims, self._signature.inputs, strict=True)
        ]

    def _execute_step(self, call: Call, generation: Generation) -> Sequence[Array]:
        """Take a step; the watch may end it, and then it raises."""
        calls = (call,)
        self.started = time.monotonic_ns()
        self.calls = calls
        try:
            return generation.step()
        except Exception:
            if self.aborted is None or self.aborted is calls:
                raise
            # The watch was late: it meant the step before.
            self.aborted = None
            return generation.step()
        finally:
            self.calls = None


def stepping(
    executions: Sequence[Execution], signature: Signature, spec: WorkerSpec
) -> tuple[list[Runner], Generations]:
    """Runners for a model that works step by step, and what they share. Raises ModelLoadFailed."""
    if spec.conversions is not None:
        raise ModelLoadFailed(
            "a language model takes and gives text as it is",
            cause="its configuration declares conversions of inputs or outputs",
            remedy="leave `inputs` and `outputs` out of the model's configuration",
        )
    generations = Generations(spec.generation.at_once)
    shapes = Shapes(signature)
    made: list[Runner] = [
        SteppingRunner(cast("SteppingExecution", execution), signature, shapes, generations)
        for execution in executions
    ]
    return made, generations
