"""TorchScript models, on PyTorch. What `torch.save` writes is a pickle, and is not read here."""

from __future__ import annotations

import copy
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from wasmind.nn.tensor import TensorType
from wasmind.worker.runtimes import torchscript
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.runtimes.devices import refuse
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wasmind.config import Target
    from wasmind.nn.signature import Signature
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.spec import WorkerSpec

_SAID = re.compile(r"^[\w.]*(?:Error|Exception): (.*(?:\n(?!\s*$).*)*)", re.MULTILINE)
_HERE = re.compile(r"^(.*)\n\s*~+ *<--- HERE", re.MULTILINE)
_DEVICES: dict[Target, tuple[str, ...]] = {"cpu": (), "gpu": ("cuda", "xpu"), "tpu": ()}
"""PyTorch's own kinds of devices; `cuda` is also AMD's."""
torch.set_num_interop_threads(1)
_IN_PLACE = re.compile(r"aten::\w+_\(")


class Runtime:
    """PyTorch, on the CPU or one of its devices."""

    name = f"torch {torch.__version__}"
    profile = Profile(executable_memory=True, threads=True)

    def __init__(self) -> None:
        self._device = "cpu"

    def open_device(self, target: Target) -> str:
        """Take the first device of a kind that is there, and compute something on it."""
        there = [kind for kind in _DEVICES[target] if getattr(torch, kind).is_available()]
        if not there:
            refuse(target, self.name, ("CPU",))
        try:
            _try(there[0])
        except RuntimeError as error:
            refuse(target, self.name, ("CPU", *there), str(error))
        self._device = there[0]
        return self._device

    def load(self, spec: WorkerSpec) -> TorchModel:
        """Load the model."""
        torch.set_num_threads(spec.threads)
        path, device = spec.files[0].path, "cpu" if spec.target == "cpu" else self._device
        with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated, and stays
            module = torch.jit.load(path, map_location=device).eval()
        return TorchModel(module, spec.declared or torchscript.embedded(path), device)


class TorchModel:
    """A module; any number of threads may run it, unless it remembers."""

    notes: tuple[str, ...] = ()

    def __init__(
        self, module: torch.jit.ScriptModule, declared: Signature | None, device: str = "cpu"
    ) -> None:
        self.module = module
        self.device = device
        graph = _frozen(module)
        self.remembers = graph is None or "prim::GetAttr" in graph
        """Whether a run changes what the next one sees."""
        self.changes_inputs = graph is None or bool(_IN_PLACE.search(graph))
        """Whether a run may write to what it is given."""
        self.arguments = torchscript.taken(module)
        trial = TorchExecution(self, ())
        self.signature = torchscript.complete(module, self.arguments, declared, trial.call)

    def execution(self) -> TorchExecution:
        """A new execution of it."""
        return TorchExecution(self, [spec.type for spec in self.signature.outputs])


class TorchExecution:
    """Runs the module on tensors that look into the arrays given."""

    def __init__(self, model: TorchModel, outputs: Sequence[TensorType]) -> None:
        self._model = model
        self._outputs = outputs

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Run once, on this thread."""
        results = self.call(inputs)
        if len(results) != len(self._outputs):
            raise ValueError(f"the model gave {len(results)} outputs; declared are {len(self._outputs)}")
        found: list[Array] = []
        for (name, tensor), kind, place in zip(results, self._outputs, places, strict=True):
            if torchscript.type_of(tensor) is not kind:
                raise ValueError(f"output {name!r} holds {tensor.dtype} elements; declared is {kind}")
            array = _array(tensor)
            if place is not None and place.shape == array.shape:
                place[...] = array
                array = place
            found.append(array)
        return found

    def call(self, inputs: Sequence[Array]) -> list[tuple[str, torch.Tensor]]:
        """Run, and give the results with their names."""
        model = self._model
        # What one caller's run leaves in the module is not for the next.
        module = copy.deepcopy(model.module) if model.remembers else model.module
        arguments: list[Any] = []
        for array, (_, kind) in zip(inputs, model.arguments, strict=True):
            if kind == "Tensor":
                tensor = _tensor(array).to(model.device)
                arguments.append(tensor.clone() if model.changes_inputs else tensor)
            else:
                arguments.append(array.item())
        try:
            with torch.inference_mode():
                return [(name, found.cpu()) for name, found in _flat(module(*arguments), "output")]
        except (RuntimeError, torch.jit.Error) as error:
            raise RuntimeError(_in_short(str(error))) from error

    def abort(self) -> bool:
        """PyTorch has no way to end a run."""
        return False


def _try(device: str) -> None:
    """Compute something on a device. Raises RuntimeError."""
    x = torch.arange(4.0, device=device)
    y = (x + x).cpu().tolist()
    if y != [0, 2, 4, 6]:
        raise RuntimeError(f"an addition came out as {y}")


def _frozen(module: torch.jit.ScriptModule) -> str | None:
    """The program with all that never changes made constant; None where PyTorch cannot tell."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return str(torch.jit.freeze(module, optimize_numerics=False).inlined_graph)
    except RuntimeError:
        return None


def _in_short(words: str) -> str:
    """The end of TorchScript's two tracebacks, and the line of the program that it means."""
    said: list[str] = _SAID.findall(words)
    if not words.startswith("The following operation failed") or not said:
        return words
    serialized = words.partition("Traceback of TorchScript, original code")[0]
    lines = _HERE.findall(serialized)
    return said[-1].strip() + (f" (at {lines[-1].strip()})" if lines else "")


def _flat(result: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a result, in order: of tuples and lists by position, of dictionaries by key."""
    if isinstance(result, torch.Tensor):
        yield (f"{name}_0" if name == "output" else name), result
    elif isinstance(result, (tuple, list)):
        flat = [tensor for element in result for _, tensor in _flat(element, name)]
        yield from ((f"{name}_{index}", tensor) for index, tensor in enumerate(flat))
    elif isinstance(result, dict):
        for key, value in result.items():
            yield from _flat(value, str(key))
    else:
        raise TypeError(f"the model returned a {type(result).__name__}, which is no tensor")


def _tensor(array: Array) -> torch.Tensor:
    """An array as a tensor, in place."""
    if array.dtype == DTYPES[TensorType.BF16]:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _array(tensor: torch.Tensor) -> Array:
    """A tensor as an array, in place where it lies in order."""
    whole = tensor.detach().contiguous()
    if whole.dtype is torch.bfloat16:
        halves: Array = whole.view(torch.int16).numpy()
        return halves.view(DTYPES[TensorType.BF16])
    found: Array = whole.numpy()
    return found
