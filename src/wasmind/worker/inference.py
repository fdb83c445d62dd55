"""Calls in a model worker: from frames to arrays, through the framework, to an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from wasmind.errors import InferenceTimeout, RuntimeFailed, TooLarge
from wasmind.nn.explain import explained
from wasmind.worker.layout import Layouts, bytes_of
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.wire import CANCELLED, INLINE, MAX_INLINE, Answered, Done, Failed, More, Place

if TYPE_CHECKING:
    from collections.abc import Hashable

    from wasmind.nn.signature import Signature, TensorSpec
    from wasmind.worker.connection import Connection
    from wasmind.worker.runtimes.base import Array, Execution
    from wasmind.worker.shapes import Shapes
    from wasmind.worker.wire import Infer

_WORDS = 16 << 10


class Call:
    """One inference that an edge asked for."""

    __slots__ = ("_kept", "arrived", "cancelled", "connection", "group", "left", "message", "rows")

    def __init__(self, connection: Connection, message: Infer, batched: bool) -> None:
        self.connection = connection
        self.message = message
        self.arrived = time.monotonic_ns()
        self.left = False
        self.cancelled = False
        self._kept: tuple[Done, dict[int, bytes]] | None = None
        self.rows, self.group = _company(message) if batched else (1, None)

    def answer(self, message: Done | Failed) -> None:
        """End the call. Only the first of two answers counts: a cancellation may cross the end of a run."""
        if self.connection.calls.pop(self.message.call, None) is not None:
            self.connection.send(message)

    def keep(self, message: Done, outputs: dict[int, bytes]) -> None:
        """Hold outputs back until the edge gives them places."""
        self._kept = message, outputs
        if self.cancelled:
            self.cancel()
            return
        lengths = tuple(len(outputs.get(index, b"")) for index in range(len(message.outputs)))
        self.connection.send(More(self.message.call, lengths))

    def fetch(self, places: tuple[Place | None, ...]) -> None:
        """Write the outputs that were held back, and end the call. Raises ValueError."""
        if self._kept is None or len(places) != len(self._kept[0].outputs):
            raise ValueError(f"nothing is kept of the call {self.message.call}")
        message, outputs = self._kept
        for index, data in outputs.items():
            place = places[index]
            if place is None:
                raise ValueError("an output was not given a place")
            self.connection.write(place, memoryview(data))
        self.answer(message)

    def cancel(self) -> None:
        """Nobody waits for it any more: what has run is forgotten, what has not will not."""
        self.cancelled = True
        if self._kept is not None:
            self.fail(CANCELLED, "the call was cancelled")

    def fail(self, code: str, message: str, cause: str | None = None, remedy: str | None = None) -> None:
        """End the call without outputs."""
        words = [text if text is None else text[:_WORDS] for text in (message, cause, remedy)]
        self.answer(Failed(self.message.call, code, words[0] or "", words[1], words[2]))


def _company(message: Infer) -> tuple[int, Hashable | None]:
    """How many rows a call adds to a batch, and which calls it may join."""
    rows = {sent.dims[0] if sent.dims else 0 for sent in message.inputs}
    if len(rows) != 1 or 0 in rows:
        return 1, None
    return rows.pop(), tuple(sent.dims[1:] for sent in message.inputs)


class Runner:
    """One thread's execution of the model, and the memory it reuses between runs."""

    def __init__(self, execution: Execution, signature: Signature, shapes: Shapes) -> None:
        self.execution = execution
        self.calls: list[Call] | None = None
        """The calls that run now; None between runs."""
        self.started = 0
        self.overdue = False
        """The watch has ended this run because it took longer than any run may."""
        self._signature = signature
        self._layouts = Layouts(signature, shapes)

    def run(self, calls: list[Call]) -> None:
        """Run and answer these calls: together if they are several, and one by one if that fails."""
        if len(calls) > 1:
            calls = [call for call in calls if self._is_due(call)]
        if len(calls) > 1:
            try:
                self._together(calls)
            except Exception:  # noqa: BLE001 - whoever is at fault gets the error alone, below
                self.overdue = False
            else:
                return
        for call in calls:
            if self._is_due(call):
                try:
                    self._alone(call)
                except Exception as error:  # noqa: BLE001 - whatever the framework raises is the answer
                    self._explain(call, error)

    def is_pointless(self, now: int) -> bool:
        """Whether nobody waits for the run under way any more."""
        calls = self.calls
        return calls is not None and all(call.cancelled or call.message.deadline <= now for call in calls)

    def _is_due(self, call: Call) -> bool:
        """Whether somebody still waits for this call; if not, it ends here."""
        if call.cancelled:
            call.fail(CANCELLED, "the call was cancelled")
        elif call.message.deadline <= time.monotonic_ns():
            call.fail(InferenceTimeout.code, "the deadline passed before the inference began")
        else:
            return True
        return False

    def _execute(
        self, calls: list[Call], inputs: list[Array], places: list[Array | None]
    ) -> tuple[list[Array], int]:
        """The outputs and how long they took, in nanoseconds."""
        self.overdue = False
        self.started = started = time.monotonic_ns()
        self.calls = calls
        try:
            outputs = self.execution.run(inputs, places)
        finally:
            self.calls = None
        return outputs, time.monotonic_ns() - started

    def _alone(self, call: Call) -> None:
        message, connection = call.message, call.connection
        layout = self._layouts.of(tuple([sent.dims for sent in message.inputs]))
        inputs = []
        for slot, sent in zip(layout.inputs, message.inputs, strict=True):
            if sent.data is None:
                inputs.append(connection.array_at(sent.offset, slot.type, sent.dims))
            else:
                inputs.append(slot.filled(sent.data))
        targets: list[Array | None] = []
        for slot, place in zip(layout.outputs, message.places, strict=True):
            if place is not None and slot.dims is not None and slot.length <= place.length:
                targets.append(connection.array_at(place.offset, slot.type, slot.dims))
            else:
                targets.append(slot.array)
        outputs, took = self._execute([call], inputs, targets)
        self._answer(call, outputs, targets, took, 1)

    def _together(self, calls: list[Call]) -> None:
        columns = [
            np.concatenate([_column(call, index, spec) for call in calls])
            for index, spec in enumerate(self._signature.inputs)
        ]
        nowhere: list[Array | None] = [None] * len(self._signature.outputs)
        outputs, took = self._execute(calls, columns, nowhere)
        rows = sum(call.rows for call in calls)
        if any(output.ndim == 0 or output.shape[0] != rows for output in outputs):
            raise ValueError("the batch's outputs cannot be told apart")
        first = 0
        for call in calls:
            own = [output[first : first + call.rows] for output in outputs]
            self._answer(call, own, nowhere, took, len(calls))
            first += call.rows

    def _answer(
        self, call: Call, outputs: list[Array], targets: list[Array | None], took: int, batch: int
    ) -> None:
        """Tell the outputs: some are in their place, some travel inline, some need a place first."""
        answered: list[Answered] = []
        missing: dict[int, bytes] | None = None
        inline = 0
        for output, target, place in zip(outputs, targets, call.message.places, strict=True):
            data = None
            if place is None or output is not target:
                size = output.nbytes
                if place is not None and size <= place.length:
                    call.connection.write(place, bytes_of(output))
                elif size <= INLINE and inline + size <= MAX_INLINE:
                    data = output.tobytes()
                    inline += size
                else:
                    missing = missing or {}
                    missing[len(answered)] = output.tobytes()
            answered.append(Answered(output.shape, data))
        done = Done(call.message.call, tuple(answered), self.started - call.arrived, took, batch)
        if missing is None:
            call.answer(done)
        else:
            call.keep(done, missing)

    def _explain(self, call: Call, error: Exception) -> None:
        words = str(error) or type(error).__name__
        if call.cancelled:
            call.fail(CANCELLED, "the call was cancelled")
        elif self.overdue or call.message.deadline <= time.monotonic_ns():
            call.fail(InferenceTimeout.code, "the inference took longer than it may", words)
        else:
            memory = isinstance(error, MemoryError) or any(sign in words for sign in _MEMORY_SIGNS)
            # Explained here: what searches a hostile model's words is confined with it.
            told = explained(words, TooLarge if memory else RuntimeFailed)
            call.fail(told.code, told.message, told.cause, told.remedy)


_MEMORY_SIGNS = ("Failed to allocate memory", "bad_alloc", "bad allocation", "Cannot allocate memory")


def _column(call: Call, index: int, spec: TensorSpec) -> Array:
    """One input of a call that runs in a batch."""
    sent = call.message.inputs[index]
    if sent.data is None:
        return call.connection.array_at(sent.offset, spec.type, sent.dims)
    return np.frombuffer(sent.data, DTYPES[spec.type]).reshape(sent.dims)
