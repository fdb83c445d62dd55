"""`[models.NAME.signature]`: what a model takes and gives, for a file that does not say."""

from __future__ import annotations

from wasmind.config.convert import Element
from wasmind.config.section import Section


class DeclaredTensor(Section, frozen=True):
    """One input or output."""

    name: str
    type: Element = "f32"
    dims: list[int | str] | None = None
    """Sizes; a name stands for one that is open, the same name for the same size. None: any shape."""


class DeclaredSignature(Section, frozen=True):
    """All inputs and outputs, in their order."""

    inputs: list[DeclaredTensor]
    outputs: list[DeclaredTensor] = []
    """None: a run tells, before the model serves."""
