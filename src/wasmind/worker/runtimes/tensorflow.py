"""SavedModels, on TensorFlow. OpenVINO reads most of them too, and takes a fifth of the memory."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from typing import TYPE_CHECKING, Any

# ruff: noqa: E402 - these are read when it is imported; without oneDNN it makes no code at run time
os.environ.update(
    TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="-1", KERAS_HOME=os.devnull
)
tempfile.tempdir = os.devnull  # it asks where it could write, and a worker can nowhere

import numpy as np
import tensorflow as tf

from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Dim, Signature, TensorSpec
from wasmind.worker.runtimes.base import DTYPES
from wasmind.worker.runtimes.devices import refuse
from wasmind.worker.syscalls import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wasmind.config import Target
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.spec import WorkerSpec

_TYPES = {dtype: kind for kind, dtype in DTYPES.items()}
_ASKS = frozenset({"sched_getparam", "sched_getscheduler"})
_SERVING = "serving_default"
_WRITES = re.compile(r"Assign|Resource(?:Scatter|Apply|Strided|Count)")
_KEEPS = re.compile(r"\w*Queue|Stack|Stage|Barrier|LookupTable(?:Insert|Remove|Import)")


class Runtime:
    """TensorFlow, on the CPU: the package that is installed has kernels for nothing else."""

    name = f"tensorflow {tf.__version__}"
    profile = Profile(load=_ASKS, serve=_ASKS, threads=True, reads=True)

    def open_device(self, target: Target) -> str:
        """There is none: what TensorFlow sees of devices is told."""
        refuse(target, self.name, [one.name for one in tf.config.list_physical_devices()])

    def load(self, spec: WorkerSpec) -> TensorFlowModel:
        """Load the model."""
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.function(tf.negative)(1.0)  # the first run looks for its own program, which it may not later
        loaded = tf.saved_model.load(os.path.dirname(spec.files[0].path))
        signatures = dict(loaded.signatures)
        if len(signatures) == 1:
            (function,) = signatures.values()
        elif _SERVING in signatures:
            function = signatures[_SERVING]
        else:
            raise ModelLoadFailed(
                "the model has no signature to serve",
                cause=f"there are {', '.join(sorted(signatures)) or 'none'}",
                remedy=f'save it with signatures={{"{_SERVING}": function}}',
            )
        return TensorFlowModel(loaded, function)


class TensorFlowModel:
    """A SavedModel's signature; any number of threads may run it, unless it remembers."""

    notes: tuple[str, ...] = ()

    def __init__(self, loaded: Any, function: Any) -> None:
        self._loaded = loaded  # its variables live as long as it does
        self.function = function
        inputs: dict[str, Any] = function.structured_input_signature[1]
        outputs: dict[str, Any] = function.structured_outputs
        self.signature = Signature(
            tuple(_spec("input", name, inputs[name]) for name in sorted(inputs)),
            tuple(_spec("output", name, outputs[name]) for name in sorted(outputs)),
        )
        operations = set(_operations(function.graph))
        kept = sorted(filter(_KEEPS.match, operations))
        if kept:
            raise ModelLoadFailed(
                "the model keeps what it is given from one run to the next",
                cause=f"it has {', '.join(kept)}, and what one caller sent would reach another",
                remedy="save it with a function that depends on its inputs only",
            )
        self.variables = [
            (variable, tf.identity(variable))
            for variable in (function.variables if any(map(_WRITES.match, operations)) else ())
        ]
        """Those that a run may change, with what they begin with."""
        self.alone = threading.Lock()
        """Held while a model runs that changes its variables."""

    def execution(self) -> TensorFlowExecution:
        """A new execution of it."""
        return TensorFlowExecution(self)


class TensorFlowExecution:
    """Runs the signature's function."""

    def __init__(self, model: TensorFlowModel) -> None:
        self._model = model
        self._inputs = [spec.name for spec in model.signature.inputs]
        self._outputs = [spec.name for spec in model.signature.outputs]

    def run(self, inputs: Sequence[Array], places: Sequence[Array | None]) -> Sequence[Array]:
        """Run once, on this thread."""
        given = {name: tf.constant(array) for name, array in zip(self._inputs, inputs, strict=True)}
        results = self._call(given)
        found: list[Array] = []
        for name, place in zip(self._outputs, places, strict=True):
            array: Array = results[name].numpy()
            if place is not None and place.shape == array.shape:
                place[...] = array
                array = place
            found.append(np.asarray(array))
        return found

    def abort(self) -> bool:
        """TensorFlow has no way to end one run among several."""
        return False

    def _call(self, given: dict[str, Any]) -> dict[str, Any]:
        results: dict[str, Any]
        if not self._model.variables:
            results = self._model.function(**given)
        else:
            with self._model.alone:
                for variable, first in self._model.variables:
                    variable.assign(first)  # what one caller's run has left is not for the next
                results = self._model.function(**given)
        return results


def _operations(graph: Any) -> Iterable[str]:
    """The kinds of all operations, those of functions it calls too."""
    definition = graph.as_graph_def()
    yield from (node.op for node in definition.node)
    for function in definition.library.function:
        yield from (node.op for node in function.node_def)


def _spec(what: str, name: str, tensor: Any) -> TensorSpec:
    kind = None
    if isinstance(tensor, (tf.TensorSpec, tf.Tensor)):
        kind = _TYPES.get(np.dtype(tensor.dtype.as_numpy_dtype))
    if kind is None:
        raise ModelLoadFailed(
            f"the {what} {name!r} is a {tensor}, which no wasi-nn tensor can hold",
            remedy="save the model with numeric tensors only",
        )
    if tensor.shape.rank is None:
        return TensorSpec(name, kind, None)
    dims: tuple[Dim, ...] = tuple(tensor.shape.as_list())
    return TensorSpec(name, kind, dims)
