"""Looks at one model closely: its signature, and how it answers."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wasmind.catalog.digests import Digests
from wasmind.catalog.model import read_model
from wasmind.catalog.signatures import Signatures
from wasmind.cli.local import LocalModel, RemoteModel, start
from wasmind.errors import InvalidArgument, InvalidTensor, NnError
from wasmind.nn.tensor import Tensor
from wasmind.nn.validation import check
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.warm import made_up

if TYPE_CHECKING:
    from wasmind.config import Model
    from wasmind.nn.signature import Signature, TensorSpec

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

SIZES = (1, 16, 128)
"""Sizes tried in turn for dimensions that a model leaves open."""
TOP = 5
"""How many labels are shown."""


async def describe(name: str, settings: Model, state: Path) -> dict[str, Any]:
    """What a model is; its signature as known from an earlier run, else by loading it now."""
    record = await asyncio.to_thread(read_model, name, settings, Digests(state / "digests"))
    signatures = Signatures(state / "signatures")
    signature = signatures.get(record.digest, record.runtime) if record.runtime else None
    if signature is None:
        with tempfile.TemporaryDirectory(prefix="wasmind-") as directory:
            model = await start(name, settings, Path(directory) / "m")
            await model.close()
        signature = model.graph.signature
        signatures.put(record.digest, model.plan.spec.runtime, signature)
    return {
        "name": name,
        "scope": record.scope,
        "digest": record.digest,
        "encoding": record.encoding or "remote",
        "runtime": record.runtime or "kserve",
        "description": settings.description,
        "files": [file.path for file in record.files] or _servers(settings),
        "labels": len(record.labels),
        "inputs": [{"name": spec.name, "tensor": str(spec)} for spec in signature.inputs],
        "outputs": [{"name": spec.name, "tensor": str(spec)} for spec in signature.outputs],
    }


def _servers(settings: Model) -> list[str]:
    return list(settings.kserve.urls) if settings.kserve else []


async def try_out(
    name: str, settings: Model, npz: Path | None, image: Path | None, count: int
) -> dict[str, Any]:
    """Run a model `count` times in a process of its own; inputs, outputs, labels and times in milliseconds.

    Raises InvalidArgument, InvalidTensor for inputs that do not fit, and whatever the model fails with.
    """
    with tempfile.TemporaryDirectory(prefix="wasmind-") as directory:
        began = perf_counter()
        model = await start(name, settings, Path(directory) / "m")
        waited = (perf_counter() - began) * 1000
        try:
            trial = _Trial(model)
            if npz or image:
                inputs = _from_npz(npz, trial.signature) if npz else _from_image(image, trial.signature)
                outputs = await trial.run(inputs)
            else:
                inputs, outputs = await trial.find_inputs()
            times = [await trial.time(inputs) for _ in range(count)]
        finally:
            await model.close()
    signature, ready = trial.signature, model.ready if isinstance(model, LocalModel) else None
    return {
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
        self.signature: Signature = model.graph.signature

    async def run(self, inputs: list[Array]) -> list[Array]:
        """The outputs for these inputs."""
        tensors = []
        for spec, array in zip(self.signature.inputs, inputs, strict=True):
            typed = np.ascontiguousarray(array, DTYPES[spec.type])
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


def _from_npz(path: Path, signature: Signature) -> list[Array]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"{path} cannot be read as .npz", cause=str(error), remedy="write it with numpy.savez(FILE, x=…)"
        ) from error
    missing = [spec.name for spec in signature.inputs if spec.name not in arrays]
    if missing:
        raise InvalidArgument(
            f"{path} lacks the input {missing[0]!r}",
            cause=f"it has {', '.join(arrays) or 'nothing'}",
            remedy=f"name the arrays as the inputs: {', '.join(spec.name for spec in signature.inputs)}",
        )
    return [arrays[spec.name] for spec in signature.inputs]


def _from_image(path: Path | None, signature: Signature) -> list[Array]:
    """A photo, resized to the model's one image input; floats are 0 to 1."""
    assert path is not None
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidArgument(
            "reading a photo needs Pillow", remedy="install it: pip install pillow; or give --npz"
        ) from error
    spec, height, width, first = _image_input(signature)
    try:
        photo = Image.open(path).convert("RGB").resize((width, height))
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read as a photo", cause=str(error)) from error
    array = np.asarray(photo)[np.newaxis]
    if first:
        array = array.transpose(0, 3, 1, 2)
    scaled = array if DTYPES[spec.type].kind in "iu" else array / 255
    return [scaled.astype(DTYPES[spec.type])]


def _image_input(signature: Signature) -> tuple[TensorSpec, int, int, bool]:
    """The image input, its height and width (224 where open), and whether channels come first."""
    spec = signature.inputs[0]
    dims = spec.dims or ()
    if len(signature.inputs) == 1 and len(dims) == 4 and 3 in (dims[1], dims[3]):
        first = dims[1] == 3
        height, width = dims[2:4] if first else dims[1:3]
        return (
            spec,
            height if isinstance(height, int) else 224,
            width if isinstance(width, int) else 224,
            first,
        )
    raise InvalidTensor(
        "the model has no input that takes a photo",
        cause=f"its inputs are {', '.join(f'{one.name}: {one}' for one in signature.inputs)}",
        remedy="give the inputs with --npz FILE",
    )


def _described(kind: str, spec: TensorSpec, array: Array) -> dict[str, Any]:
    shown = Tensor(spec.type, array.shape, b"")
    return {"kind": kind, "name": spec.name, "tensor": str(shown), "summary": _summary(array)}


def _summary(array: Array) -> str:
    if array.size == 0:
        return "empty"
    numbers = array.astype(np.float64).ravel()
    if array.size <= 8:
        return " ".join(f"{number:.6g}" for number in numbers)
    return f"min {numbers.min():.4g}, mean {numbers.mean():.4g}, max {numbers.max():.4g}"


def _top(output: Array, labels: tuple[str, ...]) -> list[tuple[str, float]]:
    """The best labels of the first row of a classifier's output."""
    row = output.reshape(-1)[: len(labels)].astype(np.float64)
    if not labels or output.shape[-1:] != (len(labels),):
        return []
    return [(labels[index], float(row[index])) for index in np.argsort(row)[::-1][:TOP]]
