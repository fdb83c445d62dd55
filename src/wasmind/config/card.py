"""`[models.NAME.card]`: what people should know of a model."""

from __future__ import annotations

from wasmind.config.section import Section


class Example(Section, frozen=True):
    """An input to try the model with: one of these files, or a text."""

    image: str | None = None
    text: str | None = None
    npz: str | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Which of them there is; checked to be one at most."""
        return tuple(name for name in self.__struct_fields__ if getattr(self, name) is not None)


class Card(Section, frozen=True):
    """A model's card, as told in the configuration or in a file."""

    description: str = ""
    licence: str = ""
    source: str = ""
    """Where it comes from: a link, or words."""
    notes: str = ""
    """Anything else, in paragraphs."""
    inputs: dict[str, str] = {}
    """What each input means."""
    outputs: dict[str, str] = {}
    example: Example = Example()
    answer: str = ""
    """What the example gives, for people."""
