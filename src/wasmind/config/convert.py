"""`[models.NAME.inputs.INPUT]` and `[models.NAME.outputs.OUTPUT]`: what the node converts for a function.

The steps are told in the order in which data passes: of an input from the function to the model, of an
output from the model to the function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec

from wasmind.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

Element = Literal["f16", "f32", "f64", "bf16", "u8", "i32", "i64", "bool", "i8", "i16", "u16", "u32", "u64"]
_Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
_Colour = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Count = Annotated[int, msgspec.Meta(ge=1)]


class Image(Section, frozen=True):
    """A JPEG, PNG or WebP file becomes pixels from 0 to 255."""

    size: tuple[_Side, _Side] | None = None
    """Height and width; the model's own where it declares them."""
    fit: Literal["cover", "contain", "stretch"] = "cover"
    keep: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """With `cover`: how much of the largest fitting part is kept, in the middle."""
    shorter_side: _Side | None = None
    """With `cover`: scale the shorter side to this, then cut `size` out of the middle."""
    fill: tuple[_Colour, _Colour, _Colour] = (0, 0, 0)
    """With `contain`: the colour around the image."""
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    layout: Literal["NHWC", "NCHW", "HWC", "CHW"] | None = None
    """Where the model's channels are, if its dimensions do not tell."""
    fast: bool = False
    """Decode a JPEG at a half, a quarter or an eighth of its size, where that leaves twice what is wanted."""
    upright: bool = True
    """Turn it as its EXIF orientation says."""
    max_pixels: _Count = 25_000_000
    max_bytes: _Count = 16 << 20


class Text(Section, frozen=True):
    """UTF-8 text becomes token ids, and what goes with them."""

    tokenizer: str
    """A `tokenizer.json`, as the `tokenizers` package reads it."""
    length: _Count | None = None
    """Longer texts are cut to so many tokens; the model's own where it declares it."""
    pad: bool | None = None
    """Whether shorter ones are filled up to it; by default where the model's length is fixed."""
    special_tokens: bool = True
    ids: str | None = None
    """The model's input for the ids; by default this input, or `input_ids`."""
    mask: str | None = None
    types: str | None = None
    max_bytes: _Count = 64 << 10


class Cast(Section, frozen=True):
    """Another element type on the function's side; values are scaled on their way."""

    type: Element
    scale: float = 1.0
    offset: float = 0.0


class Normalize(Section, frozen=True):
    """Each channel: (value / divide_by - mean) / std."""

    mean: list[float] | float = 0.0
    std: list[float] | float = 1.0
    divide_by: float = 1.0
    axis: int | None = None
    """Where the channels are; by default the dimension of the right size."""


class TopK(Section, frozen=True):
    """The best positions of the last dimension, as JSON, with the model's labels."""

    k: _Count = 5
    min_score: float | None = None


class Pool(Section, frozen=True):
    """The vectors of all tokens become one."""

    by: Literal["mean", "max", "first"] = "mean"
    mask: str | None = None
    """The model's input that says which tokens count; by default `attention_mask`, if it has that."""
    unit: bool = False
    """Scale it to the length 1."""


Layout: TypeAlias = Literal["NHWC", "NCHW", "HWC", "CHW"]
Word: TypeAlias = Literal["image", "add_batch", "drop_batch", "softmax", "pool", "top_k"]


class Step(Section, frozen=True):
    """One step: exactly one of these."""

    image: Image | None = None
    text: Text | None = None
    cast: Cast | Element | None = None
    normalize: Normalize | None = None
    layout: Layout | None = None
    add_batch: bool = False
    drop_batch: bool = False
    softmax: bool = False
    pool: Pool | None = None
    top_k: TopK | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is given; a step that was checked has one."""
        return tuple(name for name in self.__struct_fields__ if getattr(self, name) not in (None, False))


class Converted(Section, frozen=True):
    """One input or output as functions see it."""

    convert: list[Step | Word] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps; words are short for steps without settings."""
        return tuple(_step(one) if isinstance(one, str) else one for one in self.convert)


_INPUT = frozenset(("image", "text", "cast", "normalize", "layout", "add_batch", "drop_batch"))
_OUTPUT = frozenset(("cast", "layout", "add_batch", "drop_batch", "softmax", "pool", "top_k"))


def wrong_steps(inputs: dict[str, Converted], outputs: dict[str, Converted]) -> Iterator[str]:
    """Say each step that cannot be where it is, with its place."""
    for what, found, known in (("inputs", inputs, _INPUT), ("outputs", outputs, _OUTPUT)):
        for name, converted in found.items():
            for index, step in enumerate(converted.steps):
                problem = _wrong(step, index, len(converted.steps), what, known)
                if problem:
                    yield f"{what}.{name}.convert: {problem}"


def _wrong(step: Step, index: int, count: int, what: str, known: frozenset[str]) -> str | None:
    if len(step.kinds) != 1:
        got = " and ".join(step.kinds) or "nothing"
        return f"a step is exactly one of {', '.join(sorted(known))}; got {got}"
    (kind,) = step.kinds
    if kind not in known:
        return f"{kind} is not for {what}; there are {', '.join(sorted(known))}"
    if kind in ("image", "text") and index:
        return f"{kind} takes what the function sends, so it comes first"
    if kind == "text" and count > 1:
        return "text gives what the model takes: no step comes after it"
    if kind == "pool" and index:
        return "pool takes what the model gives, so it comes first"
    if kind == "top_k" and index != count - 1:
        return "top_k gives JSON, so it comes last"
    if step.normalize is not None:
        return _wrong_normalize(step.normalize)
    return None


def _wrong_normalize(step: Normalize) -> str | None:
    std = step.std if isinstance(step.std, list) else [step.std]
    if 0 in std or not step.divide_by:
        return "normalize divides by std and divide_by: they are not 0"
    lists = {len(each) for each in (step.mean, step.std) if isinstance(each, list)}
    if len(lists) > 1 or 0 in lists:
        return "normalize's mean and std have one value for each channel"
    return None


def _step(word: Word) -> Step:
    match word:
        case "image":
            return Step(image=Image())
        case "top_k":
            return Step(top_k=TopK())
        case "pool":
            return Step(pool=Pool())
        case "softmax":
            return Step(softmax=True)
        case "add_batch":
            return Step(add_batch=True)
        case "drop_batch":
            return Step(drop_batch=True)
