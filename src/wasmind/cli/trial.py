"""Tries one model: an input in, outputs, labels and times out."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from wasmind.cli import inputs as given_inputs
from wasmind.cli.inspect import keep_figures
from wasmind.cli.local import LocalModel, RemoteModel, start
from wasmind.config import NO_DEVICES
from wasmind.errors import NnError
from wasmind.nn.tensor import Tensor, TensorType
from wasmind.nn.validation import check
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.warm import made_up

if TYPE_CHECKING:
    from wasmind.config import Devices, Example, Model
    from wasmind.nn.signature import Signature, TensorSpec

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

SIZES = (1, 16, 128)
"""Sizes tried in turn for dimensions that a model leaves open."""
TOP = 5
"""How many labels are shown."""
_SHOWN_TEXT = 16 << 10


class Given(NamedTuple):
    """What a model is tried with: one of these, or nothing."""

    npz: Path | None = None
    image: Path | None = None
    text: str | None = None

    @classmethod
    def of(cls, example: Example) -> Given:
        """A card's example."""
        return cls(
            npz=Path(example.npz) if example.npz else None,
            image=Path(example.image) if example.image else None,
            text=example.text,
        )


async def try_out(
    name: str, settings: Model, state: Path, given: Given, count: int, devices: Devices = NO_DEVICES
) -> dict[str, Any]:
    """Run a model `count` times in a process of its own; inputs, outputs, labels and times in milliseconds.

    Without a given input it is the example of the model's card, else one that is made up. Raises
    InvalidArgument, InvalidTensor for inputs that do not fit, and whatever the model fails with.
    """
    with tempfile.TemporaryDirectory(prefix="wasmind-") as directory:
        began = perf_counter()
        model = await start(name, settings, Path(directory) / "m", devices)
        waited = (perf_counter() - began) * 1000
        try:
            source = "given"
            if given == Given():
                given = Given.of(model.plan.card.example)
                source = "the card's example" if given != Given() else "made up"
            trial = _Trial(model)
            inputs = trial.inputs(given)
            if inputs is not None:
                outputs = await trial.run(inputs)
            else:
                inputs, outputs = await trial.find_inputs()
            times = [await trial.time(inputs) for _ in range(count)]
        finally:
            await model.close()
    keep_figures(model, state)
    signature, ready = trial.signature, model.ready if isinstance(model, LocalModel) else None
    return {
        "source": source,
        "inputs": [_described("input", *pair) for pair in zip(signature.inputs, inputs, strict=True)],
        "outputs": [_described("output", *pair) for pair in zip(signature.outputs, outputs, strict=True)],
        "top": _top(outputs[0], model.plan.labels) if outputs else [],
        "latency_ms": {"p50": median(times), "best": min(times), "worst": max(times)},
        "load_ms": ready.load_ms + ready.warm_up_ms if ready else waited,
        "memory": ready.memory if ready else None,
        "runtime": ready.runtime if ready else model.plan.spec.runtime,
        "notes": ready.notes if ready else (),
    }


class _Trial:
    """Runs one model."""

    def __init__(self, model: LocalModel | RemoteModel) -> None:
        self._graph = model.graph
        self._settings = model.plan.settings
        self.signature: Signature = model.graph.signature

    def inputs(self, given: Given) -> list[Array] | None:
        """The inputs that were given; those of an input that is converted from a file or a text are made up
        otherwise. None where arrays of the right shape would do.
        """
        converted = given_inputs.Converted(self.signature, self._settings)
        if given.npz is not None:
            return given_inputs.from_npz(given.npz, self.signature)
        if given.text is not None:
            return converted.with_text(given.text)
        if given.image is not None:
            return converted.with_image(given.image)
        return converted.with_samples()

    async def run(self, inputs: list[Array]) -> list[Array]:
        """The outputs for these inputs."""
        tensors = []
        for spec, array in zip(self.signature.inputs, inputs, strict=True):
            typed = np.ascontiguousarray(array, DTYPES[spec.type])
            if typed.size or not spec.optional:
                check(spec, spec.type, typed.shape, typed.nbytes)
            tensors.append(Tensor(spec.type, typed.shape, typed.tobytes()))
        deadline = asyncio.get_running_loop().time() + self._graph.deadline
        outputs = await self._graph.backend.infer(tuple(tensors), deadline, "default")
        try:
            return [
                np.frombuffer(bytes(tensor.data), DTYPES[tensor.type]).reshape(tensor.dims)
                for tensor in outputs.tensors
            ]
        finally:
            outputs.release()

    async def time(self, inputs: list[Array]) -> float:
        """How long one inference takes, in milliseconds."""
        began = perf_counter()
        await self.run(inputs)
        return (perf_counter() - began) * 1000

    async def find_inputs(self) -> tuple[list[Array], list[Array]]:
        """Random inputs that the model takes, and what it answers. Raises its refusal if it takes none."""
        for size in SIZES:
            inputs = made_up(self.signature, size, seed=0)
            try:
                return inputs, await self.run(inputs)
            except NnError:
                if size == SIZES[-1]:
                    raise
        raise AssertionError("SIZES is not empty")


def _described(kind: str, spec: TensorSpec, array: Array) -> dict[str, Any]:
    shown = Tensor(spec.type, array.shape, b"")
    found = {"kind": kind, "name": spec.name, "tensor": str(shown), "summary": _summary(array)}
    text = _text(array) if spec.type is TensorType.U8 and array.ndim == 1 else None
    return found if text is None else {**found, "summary": text, "text": text}


def _text(array: Array) -> str | None:
    """What bytes say, if they are text."""
    try:
        text = array.tobytes().decode() if 0 < array.size <= _SHOWN_TEXT else ""
    except UnicodeDecodeError:
        return None
    return text if text and "\0" not in text else None


def _summary(array: Array) -> str:
    if array.size == 0:
        return "empty"
    if array.size <= 8:
        return " ".join(f"{number:.6g}" for number in array.astype(np.float64).ravel())
    numbers = array.astype(np.float64).ravel()
    return f"min {np.min(numbers):.4g}, mean {np.mean(numbers):.4g}, max {np.max(numbers):.4g}"


def _top(output: Array, labels: tuple[str, ...]) -> list[tuple[str, float]]:
    """The best labels of the first row of a classifier's output."""
    row = output.reshape(-1)[: len(labels)].astype(np.float64)
    if not labels or output.shape[-1:] != (len(labels),):
        return []
    return [(labels[index], float(row[index])) for index in np.argsort(row)[::-1][:TOP]]
