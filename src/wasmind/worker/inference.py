"""Calls in a model worker: from frames to arrays, through the framework, to an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from wasmind.nn.tensor import byte_length
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.wire import CANCELLED, INLINE, MAX_INLINE, Answered, Done, Failed, More, Place

if TYPE_CHECKING:
    from collections.abc import Hashable

    from wasmind.nn.signature import Signature
    from wasmind.worker.connection import Connection
    from wasmind.worker.runtimes.base import Array, Execution
    from wasmind.worker.shapes import Dims, Shapes
    from wasmind.worker.wire import Infer, Sent

_REMEMBERED = 64
_WORDS = 16 << 10


class Call:
    """One inference that an edge asked for."""

    __slots__ = ("_kept", "arrived", "cancelled", "connection", "group", "left", "message", "rows")

    def __init__(self, connection: Connection, message: Infer, arrived: int, *, batched: bool) -> None:
        self.connection = connection
        self.message = message
        self.arrived = arrived
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
        """Write the outputs that were held back, and end the call. Raises ValueError if a place is missing."""
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
        self._shapes = shapes
        self._small_inputs: dict[tuple[int, Dims], tuple[Array, memoryview]] = {}
        self._small_outputs: dict[tuple[int, Dims], Array] = {}

    def run(self, calls: list[Call]) -> None:
        """Run and answer these calls: together if they are several, and one by one if that fails."""
        living = self._living(calls)
        if len(living) > 1:
            try:
                self._together(living)
                return
            except Exception:  # noqa: BLE001 - whoever is at fault gets the error alone, below
                living = self._living(living)
        for call in living:
            try:
                self._alone(call)
            except Exception as error:  # noqa: BLE001 - whatever the framework raises is this call's answer
                self._explain(call, error)

    def is_pointless(self, now: int) -> bool:
        """Whether nobody waits for the run under way any more."""
        calls = self.calls
        return calls is not None and all(call.cancelled or call.message.deadline <= now for call in calls)

    def _living(self, calls: list[Call]) -> list[Call]:
        now = time.monotonic_ns()
        living = []
        for call in calls:
            if call.cancelled:
                call.fail(CANCELLED, "the call was cancelled")
            elif call.message.deadline <= now:
                call.fail("inference-timeout", "the deadline passed before the inference began")
            else:
                living.append(call)
        return living

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
        message = call.message
        inputs = [self._input(call.connection, index, sent) for index, sent in enumerate(message.inputs)]
        expected = self._shapes.expect(tuple([sent.dims for sent in message.inputs]))
        targets: list[Array | None] = []
        for index, dims in enumerate(expected.dims):
            length, place = expected.lengths[index], message.places[index]
            if dims is None or length is None:
                targets.append(None)
            elif place is not None and length <= place.length:
                targets.append(
                    call.connection.array_at(place.offset, self._signature.outputs[index].type, dims)
                )
            elif length <= INLINE:
                targets.append(self._small_output(index, dims))
            else:
                targets.append(None)
        outputs, took = self._execute([call], inputs, targets)
        in_place = [
            place is not None and output is target
            for place, output, target in zip(message.places, outputs, targets, strict=True)
        ]
        self._answer(call, outputs, in_place, took, 1)

    def _together(self, calls: list[Call]) -> None:
        columns = []
        for index in range(len(self._signature.inputs)):
            columns.append(
                np.concatenate(
                    [
                        self._input(call.connection, index, call.message.inputs[index], shared=False)
                        for call in calls
                    ]
                )
            )
        outputs, took = self._execute(calls, columns, [None] * len(self._signature.outputs))
        rows = sum(call.rows for call in calls)
        if any(output.ndim == 0 or output.shape[0] != rows for output in outputs):
            raise ValueError("the batch's outputs cannot be told apart")
        first = 0
        for call in calls:
            own = [output[first : first + call.rows] for output in outputs]
            self._answer(call, own, [False] * len(own), took, len(calls))
            first += call.rows

    def _answer(self, call: Call, outputs: list[Array], in_place: list[bool], took: int, batch: int) -> None:
        answered: list[Answered] = []
        missing: list[int] = []
        inline = 0
        for output, done, place in zip(outputs, in_place, call.message.places, strict=True):
            data = None
            if not done:
                size = output.nbytes
                if place is not None and size <= place.length:
                    call.connection.write(place, _bytes(output))
                elif size <= INLINE and inline + size <= MAX_INLINE:
                    data = output.tobytes()
                    inline += size
                else:
                    missing.append(len(answered))
            answered.append(Answered(output.shape, data))
        queued = max(0, self.started - call.arrived)
        done_message = Done(call.message.call, tuple(answered), queued, took, batch)
        if missing:
            call.keep(done_message, {index: outputs[index].tobytes() for index in missing})
        else:
            call.answer(done_message)

    def _input(self, connection: Connection, index: int, sent: Sent, *, shared: bool = True) -> Array:
        kind = self._signature.inputs[index].type
        if sent.data is None:
            return connection.array_at(sent.offset, kind, sent.dims)
        if len(sent.data) != byte_length(kind, sent.dims):
            raise ValueError(
                f"input {index} has {len(sent.data)} bytes, its shape {byte_length(kind, sent.dims)}"
            )
        if not shared:
            return np.frombuffer(sent.data, DTYPES[kind]).reshape(sent.dims)
        key = (index, sent.dims)
        found = self._small_inputs.get(key)
        if found is None:
            if len(self._small_inputs) >= _REMEMBERED:
                self._small_inputs.clear()
            array = np.empty(sent.dims, DTYPES[kind])
            found = self._small_inputs[key] = array, _bytes(array)
        found[1][:] = sent.data
        return found[0]

    def _small_output(self, index: int, dims: Dims) -> Array:
        found = self._small_outputs.get((index, dims))
        if found is None:
            if len(self._small_outputs) >= _REMEMBERED:
                self._small_outputs.clear()
            found = self._small_outputs[index, dims] = np.empty(
                dims, DTYPES[self._signature.outputs[index].type]
            )
        return found

    def _explain(self, call: Call, error: Exception) -> None:
        words = str(error) or type(error).__name__
        if call.cancelled:
            call.fail(CANCELLED, "the call was cancelled")
        elif self.overdue or call.message.deadline <= time.monotonic_ns():
            call.fail("inference-timeout", "the inference took longer than it may", words)
        elif isinstance(error, MemoryError) or any(sign in words for sign in _MEMORY_SIGNS):
            call.fail(
                "nn-too-large",
                "the inference needs more memory than the model may have",
                words,
                "send smaller inputs, or raise the model's `memory`",
            )
        else:
            call.fail("runtime-failed", "the framework failed", words)


_MEMORY_SIGNS = ("Failed to allocate memory", "bad_alloc", "bad allocation", "Cannot allocate memory")


def _bytes(array: Array) -> memoryview:
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
