"""Calls through the framework: from frames to arrays, and from arrays to an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from wasmind.errors import InferenceTimeout, NnError, RuntimeFailed, TooLarge
from wasmind.nn.explain import explained, is_of_memory
from wasmind.nn.tensor import MAX_RANK
from wasmind.worker.layout import Layouts, bytes_of
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.wire import CANCELLED, INLINE, MAX_INLINE, Done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.nn.signature import Signature, TensorSpec
    from wasmind.worker.call import Call
    from wasmind.worker.runtimes.base import Array, Execution
    from wasmind.worker.shapes import Dims, Shapes
    from wasmind.worker.wire import Place

_now = time.monotonic_ns


class Runner:
    """One thread's execution of the model, and the memory it reuses between runs."""

    def __init__(self, execution: Execution, signature: Signature, shapes: Shapes) -> None:
        self.execution = execution
        self.calls: Sequence[Call] | None = None
        """The calls that run now; None between runs."""
        self.started = 0
        """When the last run began, in nanoseconds."""
        self.aborted: Sequence[Call] | None = None
        """The calls whose run the watch has ended."""
        self._signature = signature
        self._layouts = Layouts(signature, shapes)
        self._inline = self._layouts.inline
        self._nowhere: tuple[None, ...] = (None,) * len(signature.outputs)

    def run(self, calls: Sequence[Call]) -> None:
        """Run and answer these calls: together if they are several, and one by one if that fails."""
        if len(calls) > 1:
            calls = [call for call in calls if self._is_due(call)]
            if self._run_together(calls):
                return
        for call in calls:
            try:
                if not self._run_inline(call) and self._is_due(call):
                    self._run_alone(call)
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
        elif call.message.deadline <= _now():
            call.fail(InferenceTimeout.code, "the deadline passed before the inference began")
        else:
            return True
        return False

    def _execute(
        self, calls: Sequence[Call], inputs: Sequence[Array], places: Sequence[Array | None]
    ) -> Sequence[Array]:
        """Run; the watch may end the run meanwhile, and then it raises."""
        self.started = _now()
        self.calls = calls
        try:
            return self.execution.run(inputs, places)
        except Exception:
            if self.aborted is None or self.aborted is calls:
                raise
            # The watch was late: it meant the run before.
            self.aborted = None
            return self.execution.run(inputs, places)
        finally:
            self.calls = None

    def _run_inline(self, call: Call) -> bool:
        """Run a call of which everything travels inline; False, and nothing is done, for any other.

        It could go the other way too. This one is short, since what it costs is all that a small model costs.
        """
        message = call.message
        layout = self._inline.get(message.dims)
        began = _now()
        if layout is None or message.places or call.cancelled or message.deadline <= began:
            return False
        for place, data in zip(layout.given_bytes, message.data, strict=True):
            if isinstance(data, int):
                return False
            place[:] = data
        taken = layout.taken
        if self._execute((call,), layout.given, taken) is not taken:
            return False
        inline = tuple(map(bytes, layout.taken_bytes))
        done = Done(message.call, layout.taken_dims, inline, began - call.arrived, _now() - began, 1)
        call.connection.answer(done)
        return True

    def _run_alone(self, call: Call) -> None:
        message, connection = call.message, call.connection
        layout = self._layouts.of(message.dims)
        inputs = []
        for slot, data, dims in zip(layout.inputs, message.data, message.dims, strict=True):
            if isinstance(data, int):
                inputs.append(connection.array_at(data, slot.dtype, dims))
            else:
                inputs.append(slot.filled(data))
        places: Sequence[Place | None] = message.places or self._nowhere
        targets: list[Array | None] = []
        for slot, place in zip(layout.outputs, places, strict=True):
            if place is not None and slot.dims is not None and slot.length <= place.length:
                targets.append(connection.array_at(place.offset, slot.dtype, slot.dims))
            else:
                targets.append(slot.array)
        outputs = self._execute((call,), inputs, targets)
        self._answer(call, outputs, targets, _now() - self.started, 1)

    def _run_together(self, calls: Sequence[Call]) -> bool:
        """Run a batch. False if that fails: whoever is at fault then gets the error alone."""
        if len(calls) < 2:
            return False
        try:
            columns = [
                np.concatenate([_column(call, index, spec) for call in calls])
                for index, spec in enumerate(self._signature.inputs)
            ]
            outputs = self._execute(calls, columns, self._nowhere)
            took = _now() - self.started
            rows = sum(call.rows for call in calls)
            if any(output.ndim == 0 or output.shape[0] != rows for output in outputs):
                return False
        except Exception:  # noqa: BLE001 - as said
            self.aborted = None
            return False
        first = 0
        for call in calls:
            own = [output[first : first + call.rows] for output in outputs]
            self._answer(call, own, self._nowhere, took, len(calls))
            first += call.rows
        return True

    def _answer(
        self, call: Call, outputs: Sequence[Array], targets: Sequence[Array | None], took: int, batch: int
    ) -> None:
        """Tell the outputs: some are in their place, some travel inline, some need a place first."""
        shapes: list[Dims] = []
        inline: list[bytes | None] = []
        missing: dict[int, bytes] = {}
        room = MAX_INLINE
        places: Sequence[Place | None] = call.message.places or self._nowhere
        for index, (output, target, place) in enumerate(zip(outputs, targets, places, strict=True)):
            if output.ndim > MAX_RANK:
                raise ValueError(f"an output has rank {output.ndim}; tensors here have at most {MAX_RANK}")
            data = None
            if place is None or output is not target:
                size = output.nbytes
                if place is not None and size <= place.length:
                    call.connection.write(place, bytes_of(output))
                elif size <= INLINE and size <= room:
                    data = output.tobytes()
                    room -= size
                else:
                    missing[index] = output.tobytes()
            shapes.append(output.shape)
            inline.append(data)
        queued = max(0, self.started - call.arrived)
        done = Done(call.message.call, tuple(shapes), tuple(inline), queued, took, batch)
        if missing:
            call.keep(done, missing)
        else:
            call.connection.answer(done)

    def _explain(self, call: Call, error: Exception) -> None:
        words = str(error) or type(error).__name__
        if call.cancelled:
            call.fail(CANCELLED, "the call was cancelled")
        elif self.aborted is not None or call.message.deadline <= _now():
            self.aborted = None
            call.fail(InferenceTimeout.code, "the inference took longer than it may", words)
        elif isinstance(error, NnError):
            call.fail(error.code, error.message, error.cause, error.remedy)
        else:
            memory = isinstance(error, MemoryError) or is_of_memory(words)
            # Explained here: what searches a hostile model's words is confined with it.
            told = explained(words, TooLarge if memory else RuntimeFailed)
            call.fail(told.code, told.message, told.cause, told.remedy)


def _column(call: Call, index: int, spec: TensorSpec) -> Array:
    """One input of a call that runs in a batch."""
    data, dims = call.message.data[index], call.message.dims[index]
    if isinstance(data, int):
        return call.connection.array_at(data, DTYPES[spec.type], dims)
    return np.frombuffer(data, DTYPES[spec.type]).reshape(dims)
