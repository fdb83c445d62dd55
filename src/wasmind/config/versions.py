"""`[models.NAME.versions.N]`: a model's versions, and which of them a name means.

`name` means the version that `default` chooses, or else the one with the highest number; `name@3` the version
3; `name:stable` the version that the alias `stable` points to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wasmind.config.model import Model

ALIAS = re.compile(r"[A-Za-z](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?\Z", re.ASCII)
"""What an alias may be called: it begins with a letter, so it is no number."""
_REFERENCE = re.compile(r"([^@:]+)(?:@([1-9][0-9]{0,8})|:([^@:]+))?\Z", re.ASCII)


class Reference(NamedTuple):
    """A name of a model, taken apart."""

    model: str
    number: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `name`, `name@3` or `name:stable`; anything else is a name that no model has."""
        found = _REFERENCE.match(text)
        if found is None:
            return cls(text)
        return cls(found[1], int(found[2]) if found[2] else None, found[3])

    @property
    def pinned(self) -> bool:
        """Whether it says which version, or by which alias."""
        return self.number is not None or self.alias is not None


def default_of(model: Model) -> int | None:
    """The version that the plain name means; None for a model without versions."""
    if not model.versions:
        return None
    if model.default is None:
        return max(model.versions)
    return model.aliases.get(model.default) if isinstance(model.default, str) else model.default


def number_of(model: Model, reference: Reference) -> int | None:
    """The version that a reference means; None for a model without versions. Raises KeyError."""
    if not reference.pinned:
        return default_of(model)
    number = reference.number if reference.alias is None else model.aliases[reference.alias]
    if number not in model.versions:
        raise KeyError(reference)
    return number


def settings_of(model: Model) -> dict[int | None, Model]:
    """Each version by its number, as a model by itself; under None where there are no versions."""
    if not model.versions:
        return {None: model}
    found: dict[int | None, Model] = {}
    for number, version in sorted(model.versions.items()):
        own = {name: value for name, value in msgspec.structs.asdict(version).items() if value is not None}
        found[number] = msgspec.structs.replace(model, versions={}, aliases={}, default=None, **own)
    return found


def names_of(name: str, model: Model, number: int | None) -> tuple[str, ...]:
    """All that mean a version: the plain name, where it is the default, its number, its aliases."""
    plain = (name,) if default_of(model) == number else ()
    if number is None:
        return plain
    aliases = (f"{name}:{alias}" for alias, target in sorted(model.aliases.items()) if target == number)
    return (*plain, f"{name}@{number}", *aliases)


def problems(name: str, model: Model) -> Iterator[str]:
    """Say each wrong setting about versions, with its place in the file."""
    at = f"models.{name}"
    if model.versions and any((model.path, model.source, model.kserve)):
        yield f"{at}: where there are `versions`, each says its own `path`, `source` or `kserve`"
    if not model.versions and (model.aliases or model.default is not None):
        yield f"{at}: `aliases` and `default` are about `versions`, and there are none"
        return
    for number in model.versions:
        if not 0 < number < 10**9:
            yield f"{at}.versions.{number}: a version is a number from 1 to 999999999"
    known = ", ".join(map(str, sorted(model.versions)))
    for alias, target in model.aliases.items():
        if not ALIAS.match(alias):
            yield f"{at}.aliases: an alias begins with a letter, then A-Z a-z 0-9 . _ -; got {alias!r}"
        if target not in model.versions:
            yield f"{at}.aliases: {alias} means version {target}, which there is not (there are: {known})"
    if model.default is not None and default_of(model) not in model.versions:
        yield f"{at}.default: there is no {model.default!r} (there are: {', '.join([known, *model.aliases])})"


def bad_reference(models: Mapping[str, Model], text: str) -> str | None:
    """Why a function cannot be granted what `text` means, in words; None if it can."""
    reference = Reference.parse(text)
    model = models.get(reference.model)
    if model is None:
        return f"there is no model {reference.model!r} (known: {', '.join(sorted(models)) or 'none'})"
    try:
        number_of(model, reference)
    except KeyError:
        others = [name for number in settings_of(model) for name in names_of(reference.model, model, number)]
        return f"there is no {text!r} (known: {', '.join(sorted(others))})"
    return None
