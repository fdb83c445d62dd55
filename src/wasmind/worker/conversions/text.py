"""Text to token ids, by the `tokenizers` package and a model's own `tokenizer.json`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # it would make threads when none can be made

try:
    from tokenizers import Tokenizer
except ModuleNotFoundError as error:
    from wasmind.errors import PackageMissing

    raise PackageMissing(
        "a `text` conversion needs the package tokenizers",
        cause=str(error),
        remedy="pip install 'wasmind[text]'",
    ) from error

from wasmind.errors import ConversionFailed, ModelLoadFailed
from wasmind.nn.signature import TensorSpec
from wasmind.nn.tensor import TensorType
from wasmind.worker.conversions.stage import impossible
from wasmind.worker.runtimes.base import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmind.config.convert import Text as Step
    from wasmind.worker.runtimes.base import Array

MAX_LENGTH = 1 << 20
_NAMES = {"ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids"}
_DEFAULT_LENGTH = 512
_MAX_FILE = 64 << 20


class Text:
    """One text input of a function: the inputs of the model that it fills, and how."""

    def __init__(self, name: str, step: Step, inputs: Mapping[str, TensorSpec]) -> None:
        """`inputs` are the model's. Raises ModelLoadFailed."""
        self.outer = TensorSpec(name, TensorType.U8, (f"{name}_bytes",))
        self._step = step
        self._feeds = _feeds(name, step, inputs)
        self.names = tuple(spec.name for spec in self._feeds.values())
        """The model's inputs that it fills; the ids come first."""
        ids = self._feeds["ids"]
        declared = (ids.dims or (None,))[-1]
        self._tokenizer = _read(step.tokenizer)
        fixed = declared if isinstance(declared, int) else None
        own = self._tokenizer.truncation or {}
        self._length = min(step.length or fixed or own.get("max_length") or _DEFAULT_LENGTH, MAX_LENGTH)
        if fixed is not None and (self._length > fixed or step.pad is False):
            impossible("text", ids, f"it takes {fixed} tokens", "leave text.length and text.pad out")
        self._pad = step.pad if step.pad is not None else fixed is not None
        self._filled = fixed or self._length
        self._prepare()

    @property
    def length(self) -> int | None:
        """How many tokens every text becomes; None where it varies."""
        return self._filled if self._pad else None

    @property
    def dims(self) -> tuple[tuple[TensorSpec, tuple[int | None, ...]], ...]:
        """The model's inputs that it fills, with the dimensions that they get."""
        return tuple((spec, (1, self.length)[-len(spec.dims or (0, 0)) :]) for spec in self._feeds.values())

    def _prepare(self) -> None:
        given = self._tokenizer.padding or {}
        self._tokenizer.enable_truncation(self._length)
        self._tokenizer.no_padding()
        if self._pad:
            token = given.get("pad_token", "[PAD]")
            number = self._tokenizer.token_to_id(token)
            self._tokenizer.enable_padding(
                direction=given.get("direction", "right"),
                pad_id=given.get("pad_id", number or 0),
                pad_type_id=given.get("pad_type_id", 0),
                pad_token=token,
                length=self._filled,
            )

    def run(self, array: Array) -> dict[str, Array]:
        """The model's inputs, by their names. Raises ConversionFailed."""
        name, step = self.outer.name, self._step
        if array.size > step.max_bytes:
            raise ConversionFailed(
                f'input "{name}": a text of {array.size} bytes, and at most {step.max_bytes} are taken',
                remedy="send a shorter text, or raise text.max_bytes in the model's configuration",
            )
        try:
            text = array.tobytes().decode()
        except UnicodeDecodeError as error:
            raise ConversionFailed(
                f'input "{name}": this is no UTF-8 text', cause=str(error), remedy="encode the text as UTF-8"
            ) from error
        try:
            found = self._tokenizer.encode(text, add_special_tokens=step.special_tokens)
        except BaseException as error:  # noqa: BLE001 - a panic of the library is a BaseException
            raise ConversionFailed(
                f'input "{name}": the text cannot be tokenized', cause=str(error)[:500]
            ) from None
        values = {"ids": found.ids, "mask": found.attention_mask, "types": found.type_ids}
        return {spec.name: _tensor(values[what], spec) for what, spec in self._feeds.items()}


def _feeds(name: str, step: Step, inputs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """Which of the model's inputs take the ids, the mask and the types."""
    told = {"ids": step.ids or (name if name in inputs else None), "mask": step.mask, "types": step.types}
    found = {}
    for what, usual in _NAMES.items():
        wanted = told[what] or usual
        if wanted in inputs:
            found[what] = inputs[wanted]
        elif told[what] or what == "ids":
            raise ModelLoadFailed(
                f"the conversion text of {name!r} has no input to fill: the model has none called {wanted!r}",
                cause=f"its inputs are {', '.join(inputs)}",
                remedy=f'say which takes them with text.{what} = "NAME"',
            )
    for spec in found.values():
        if DTYPES[spec.type].kind not in "iu" or (spec.dims is not None and len(spec.dims) not in (1, 2)):
            impossible(
                "text", spec, "token ids are integers in one or two dimensions", "name the right input"
            )
    return found


def _read(path: str) -> Any:
    try:
        if os.stat(path).st_size <= _MAX_FILE:
            return Tokenizer.from_file(path)
    except BaseException as error:  # noqa: BLE001 - the library raises bare Exceptions, and panics
        raise ModelLoadFailed(
            f"the tokenizer {path} cannot be read",
            cause=str(error)[:500],
            remedy="give the tokenizer.json that was published with the model",
        ) from None
    raise ModelLoadFailed(f"the tokenizer {path} is over {_MAX_FILE >> 20} MiB")


def _tensor(values: list[int], spec: TensorSpec) -> Array:
    found = np.array(values, DTYPES[spec.type])
    return found if spec.dims is not None and len(spec.dims) == 1 else found[np.newaxis]
