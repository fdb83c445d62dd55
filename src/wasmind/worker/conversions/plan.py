"""What declared conversions come to: the signature that functions see, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wasmind.errors import ModelLoadFailed
from wasmind.nn.signature import Signature, TensorSpec
from wasmind.worker.conversions import numbers
from wasmind.worker.conversions.best import top_k
from wasmind.worker.conversions.pool import pool

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from wasmind.config import Converted, Step
    from wasmind.nn.signature import Dim
    from wasmind.worker.conversions.stage import Stage
    from wasmind.worker.conversions.text import Text
    from wasmind.worker.runtimes.base import Array
    from wasmind.worker.spec import Conversions
    from wasmind.worker.wire import Infer

_MAX_SETTLED = 1 << 31


@dataclass(frozen=True, slots=True)
class _Source:
    """One input of a function, and what it becomes."""

    outer: TensorSpec
    feeds: tuple[int, ...]
    """The positions of the model's inputs that it fills."""
    run: Callable[[Array], Sequence[Array]]
    one_row: bool
    rows: int = 0
    """Which of its dimensions is the model's first, where it is not one row."""
    examples: Callable[[], list[bytes]] | None = None


class Plan:
    """The conversions of one model."""

    def __init__(self, declared: Conversions, inner: Signature) -> None:
        """Raises ModelLoadFailed for a declaration that does not fit the model, PackageMissing."""
        self._inner = inner
        self._bound: dict[str, int] = {}
        inputs = {spec.name: spec for spec in inner.inputs}
        texts = _texts(declared.inputs, inputs)
        fed = {name: text for text in texts for name in text.names}
        _require_known("inputs", declared.inputs, inputs.keys() | {text.outer.name for text in texts})
        _require_known("outputs", declared.outputs, {spec.name for spec in inner.outputs})
        self._sources = self._plan_inputs(declared, fed)
        self._results = [
            _output(spec, _steps(declared.outputs, spec.name), declared.labels, inner)
            for spec in map(self._settled, inner.outputs)
        ]
        outer = [source.outer for source in self._sources], [spec for spec, _ in self._results]
        inputs_seen, outputs_seen = (tuple(map(self._settled, specs)) for specs in outer)
        self.signature = Signature(inputs_seen, outputs_seen)
        """What functions see."""
        self._count = len(inner.inputs)

    # --- planning -----------------------------------------------------------------------------------------

    def _plan_inputs(self, declared: Conversions, fed: Mapping[str, Text]) -> list[_Source]:
        places = {spec.name: index for index, spec in enumerate(self._inner.inputs)}
        found: list[_Source] = []
        done: set[str] = set()
        for index, spec in enumerate(self._inner.inputs):
            text = fed.get(spec.name)
            if text is None:
                found.append(self._input(index, spec, _steps(declared.inputs, spec.name)))
            elif text.outer.name not in done:
                done.add(text.outer.name)
                for filled, dims in text.dims:
                    self._bind(filled, dims)
                feeds = tuple(places[name] for name in text.names)
                found.append(_Source(text.outer, feeds, _runner(text), True, 0, lambda: [b"An example."]))
        return found

    def _input(self, index: int, inner: TensorSpec, steps: Sequence[Step]) -> _Source:
        spec, stages, examples, rows, one_row = inner, [], None, 0, False
        for step in reversed(steps):
            if step.image is not None:
                from wasmind.worker.conversions import image

                stage, examples = image.image(step.image, spec), image.examples
                dims = spec.dims or ()
                size = stage.run(np.frombuffer(examples()[0], np.uint8)).shape
                self._bind(spec, size[: len(dims)])
            else:
                stage = _input_stage(step, spec)
                if stage.one_row:
                    self._bind(inner, (1,))
            one_row = one_row or stage.one_row
            if not one_row:
                rows = stage.moved(rows)
            stages.append(stage)
            spec = stage.outer
        runs = [stage.run for stage in reversed(stages)]
        return _Source(spec, (index,), _chained(runs), one_row, rows, examples)

    def _bind(self, spec: TensorSpec, dims: Sequence[int | None]) -> None:
        """Learn what size a symbol stands for: a conversion gives its dimension always the same one."""
        for dim, size in zip(spec.dims or (), dims, strict=False):
            if isinstance(dim, str) and size is not None:
                self._bound.setdefault(dim, size)

    def _settled(self, spec: TensorSpec) -> TensorSpec:
        """A tensor with the sizes that are known in place of their symbols."""
        if spec.dims is None:
            return spec
        dims: tuple[Dim, ...] = tuple(
            self._bound.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.dims
        )
        return TensorSpec(spec.name, spec.type, dims)

    # --- converting ---------------------------------------------------------------------------------------

    def to_model(self, arrays: Sequence[Array]) -> list[Array]:
        """A function's inputs as the model's. Raises ConversionFailed."""
        found: list[Any] = [None] * self._count
        for source, array in zip(self._sources, arrays, strict=True):
            for place, value in zip(source.feeds, source.run(array), strict=True):
                found[place] = value
        return found

    def from_model(self, arrays: Sequence[Array], inputs: Sequence[Array] = ()) -> list[Array]:
        """The model's outputs as a function's; `inputs` are the model's. Raises ConversionFailed."""
        return [run(array, inputs) for (_, run), array in zip(self._results, arrays, strict=True)]

    def company(self, message: Infer) -> tuple[int, Hashable | None]:
        """How many rows a call adds to a batch of the model, and which calls it may join."""
        rows, group = set(), []
        for source, dims in zip(self._sources, message.dims, strict=False):
            at = source.rows
            rows.add(1 if source.one_row else dims[at] if at < len(dims) else 0)
            # What is decoded or tokenized has the same shape in the end, or is sorted out before the run.
            alike = () if source.examples else dims if source.one_row else (*dims[:at], *dims[at + 1 :])
            group.append(alike)
        if len(rows) != 1 or 0 in rows:
            return 1, None
        return rows.pop(), tuple(group)

    def rehearse(self) -> None:
        """Convert small examples, before the process is closed: what loads late is loaded then."""
        for source in self._sources:
            for example in source.examples() if source.examples else ():
                source.run(np.frombuffer(example, np.uint8))


def _texts(declared: Mapping[str, Converted], inputs: Mapping[str, TensorSpec]) -> list[Text]:
    steps = [(name, one.steps[0].text) for name, one in declared.items() if one.steps and one.steps[0].text]
    if not steps:
        return []
    from wasmind.worker.conversions.text import Text

    found = [Text(name, step, inputs) for name, step in steps if step is not None]
    filled = [name for text in found for name in text.names]
    for name in filled:
        if filled.count(name) > 1 or (
            name in declared and not any(name == text.outer.name for text in found)
        ):
            raise ModelLoadFailed(
                f"two conversions fill the model's input {name!r}",
                remedy="say which with text.ids, mask, types",
            )
    return found


def _runner(text: Text) -> Callable[[Array], list[Array]]:
    def run(array: Array) -> list[Array]:
        found = text.run(array)
        return [found[name] for name in text.names]

    return run


def _chained(runs: Sequence[Callable[[Array], Array]]) -> Callable[[Array], tuple[Array]]:
    def run(array: Array) -> tuple[Array]:
        for each in runs:
            array = each(array)
        return (np.ascontiguousarray(array),) if array.ndim else (array,)

    return run


def _require_known(what: str, declared: Mapping[str, Converted], known: set[str]) -> None:
    for name in declared:
        if name not in known:
            raise ModelLoadFailed(
                f"the configuration converts {what}.{name}, and the model has no such {what[:-1]}",
                cause=f"it has {', '.join(sorted(known))}",
                remedy="name it as the model does; only a `text` input may have a name of its own",
            )


def _steps(declared: Mapping[str, Converted], name: str) -> tuple[Step, ...]:
    return declared[name].steps if name in declared else ()


def _input_stage(step: Step, spec: TensorSpec) -> Stage:
    if step.cast is not None:
        return numbers.cast_input(step.cast, spec)
    if step.normalize is not None:
        return numbers.normalize(step.normalize, spec)
    if step.layout is not None:
        return numbers.layout_input(step.layout, spec)
    if step.add_batch:
        return numbers.without_batch(spec)
    return numbers.with_batch(spec, "drop_batch")


def _output(
    spec: TensorSpec, steps: Sequence[Step], labels: Sequence[str], model: Signature
) -> tuple[TensorSpec, Callable[[Array, Sequence[Array]], Array]]:
    runs = []
    first = None
    for step in steps:
        if step.pool is not None:
            spec, first = pool(step.pool, spec, model)
            continue
        if step.softmax:
            stage = numbers.softmax(spec)
        elif step.top_k is not None:
            stage = top_k(step.top_k, spec, labels)
        elif step.cast is not None:
            stage = numbers.cast_output(step.cast, spec)
        elif step.layout is not None:
            stage = numbers.layout_output(step.layout, spec)
        elif step.add_batch:
            stage = numbers.with_batch(spec, "add_batch")
        else:
            stage = numbers.drop_batch_output(spec)
        runs.append(stage.run)
        spec = stage.outer

    def run(array: Array, inputs: Sequence[Array]) -> Array:
        if first is not None:
            array = first(array, inputs)
        for each in runs:
            array = each(array)
        return array

    return spec, run
