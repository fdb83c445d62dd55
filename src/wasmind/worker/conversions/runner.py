"""Calls of a model with conversions: each is converted by itself, and run with what fits beside it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wasmind.errors import ConversionFailed, WasmindError
from wasmind.worker.inference import Runner
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.shapes import Shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.worker.call import Call
    from wasmind.worker.conversions.plan import Plan
    from wasmind.worker.runtimes.base import Array, Execution

_now = time.monotonic_ns


class _Item(NamedTuple):
    call: Call
    began: int
    """When its conversion did, in nanoseconds."""
    inputs: list[Array]
    """As the model takes them."""


class ConvertingRunner(Runner):
    """One thread's execution of a model that has conversions; `execution` is the model's own."""

    def __init__(self, execution: Execution, plan: Plan) -> None:
        super().__init__(execution, plan.signature, Shapes(plan.signature))
        self._plan = plan

    def run(self, calls: Sequence[Call]) -> None:
        """Convert, run and answer these calls. What is wrong with one concerns no other."""
        groups: dict[tuple[tuple[int, ...], ...], list[_Item]] = {}
        for call in calls:
            try:
                if self._is_due(call):
                    began = _now()
                    inputs = self._converted(call)
                    groups.setdefault(tuple(array.shape[1:] for array in inputs), []).append(
                        _Item(call, began, inputs)
                    )
            except Exception as error:  # noqa: BLE001 - whatever is raised is the answer
                self._explain(call, error)
        for items in groups.values():
            if not self._run_items(items):
                for item in items:
                    try:
                        if self._is_due(item.call):
                            self._run_item(item)
                    except Exception as error:  # noqa: BLE001 - as above
                        self._explain(item.call, error)

    def _converted(self, call: Call) -> list[Array]:
        """The model's inputs. The watch looks at this as at a run."""
        message = call.message
        given = []
        for spec, data, dims in zip(self._signature.inputs, message.data, message.dims, strict=True):
            if isinstance(data, int):
                given.append(call.connection.array_at(data, DTYPES[spec.type], dims))
            else:
                given.append(np.frombuffer(data, DTYPES[spec.type]).reshape(dims))
        self.aborted = None  # a late word of the watch meant what ran before
        self.started = _now()
        self.calls = calls = (call,)
        try:
            inputs = self._plan.to_model(given)
        finally:
            self.calls = None
        if self.aborted is calls:
            raise ConversionFailed("converting the inputs took longer than the call may")
        return inputs

    def _run_item(self, item: _Item) -> None:
        outputs = self._execute((item.call,), item.inputs, self._nowhere)
        self._give(item, outputs, 1)

    def _give(self, item: _Item, outputs: Sequence[Array], batch: int) -> None:
        """Answer a call; converting there and back is part of what it took."""
        given = self._plan.from_model(outputs, item.inputs)
        self.started = item.began
        self._answer(item.call, given, self._nowhere, _now() - item.began, batch)

    def _run_items(self, items: Sequence[_Item]) -> bool:
        """Run a batch. False if that fails: whoever is at fault then gets the error alone."""
        if len(items) < 2:
            return False
        calls = [item.call for item in items]
        try:
            rows = [item.inputs[0].shape[0] for item in items]
            columns = [
                np.concatenate(column) for column in zip(*(item.inputs for item in items), strict=True)
            ]
            outputs = self._execute(calls, columns, self._nowhere)
            if any(output.ndim == 0 or output.shape[0] != sum(rows) for output in outputs):
                return False
        except Exception:  # noqa: BLE001 - as said
            self.aborted = None
            return False
        first = 0
        for item, count in zip(items, rows, strict=True):
            own = [output[first : first + count] for output in outputs]
            first += count
            try:
                self._give(item, own, len(calls))
            except Exception as error:  # noqa: BLE001 - a step on the way back is this call's own
                self._explain(item.call, error)
        return True

    def _explain(self, call: Call, error: Exception) -> None:
        late = self.aborted is not None or call.cancelled or call.message.deadline <= _now()
        if isinstance(error, WasmindError) and not late:
            call.fail(error.code, error.message, error.cause, error.remedy)
        else:
            super()._explain(call, error)
