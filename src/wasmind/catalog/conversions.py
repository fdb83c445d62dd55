"""What a model's declared conversions add to it: files that they read, and another version."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wasmind.catalog.files import ModelFile, resolved
from wasmind.errors import ModelLoadFailed, PackageMissing

if TYPE_CHECKING:
    from wasmind.config import Converted, Model


class Package(NamedTuple):
    """What a step needs."""

    module: str
    distribution: str


PACKAGES = {"image": Package("PIL", "pillow"), "text": Package("tokenizers", "tokenizers")}
"""The steps that need a package, each of which is an extra of the step's name."""


def wanted(model: Model) -> frozenset[str]:
    """The steps of a model that need a package."""
    return frozenset(kind for one in model.inputs.values() for step in one.steps for kind in step.kinds) & (
        PACKAGES.keys()
    )


def require_packages(model: Model) -> None:
    """Refuse a model whose conversions need what is not installed. Raises PackageMissing."""
    for kind in sorted(wanted(model)):
        package = PACKAGES[kind]
        if find_spec(package.module) is None:
            raise PackageMissing(
                f"the conversion `{kind}` needs the package {package.distribution}, which is not installed",
                remedy=f"pip install 'wasmind[{kind}]'",
            )


def with_tokenizers(files: tuple[ModelFile, ...], model: Model) -> tuple[ModelFile, ...]:
    """The model's files, and after them the tokenizers of its text inputs. Raises ModelLoadFailed."""
    known = {file.path for file in files}
    found = []
    for one in model.inputs.values():
        for step in one.steps:
            path = str(_real(step.text.tokenizer)) if step.text else None
            if path and path not in known:
                known.add(path)
                found.append(ModelFile(path, "tokenizer"))
    return (*files, *found)


def _real(path: str) -> Path:
    try:
        found = resolved(Path(path))
        if not found.is_file():
            raise ModelLoadFailed(f"the tokenizer {path} is no regular file")
    except OSError as error:
        raise ModelLoadFailed(
            f"the tokenizer {path} cannot be read",
            cause=error.strerror,
            remedy="check text.tokenizer, which is relative to the configuration",
        ) from error
    return found


def version(digest: str, model: Model, labels: tuple[str, ...]) -> str:
    """A model's version: that of its files, unless it is converted, which makes another model for functions.

    `labels` are part of what a `top_k` gives.
    """
    if not model.inputs and not model.outputs:
        return digest
    told = labels if any(step.top_k for one in model.outputs.values() for step in one.steps) else ()
    declared = msgspec.json.encode([_steps(model.inputs), _steps(model.outputs), told])
    return hashlib.sha256(digest.encode() + declared).hexdigest()


def _steps(declared: dict[str, Converted]) -> dict[str, Converted]:
    """Without the tokenizers' paths: the files themselves are in the digest already."""
    return {
        name: msgspec.structs.replace(
            one,
            convert=[
                msgspec.structs.replace(step, text=msgspec.structs.replace(step.text, tokenizer=""))
                if step.text
                else step
                for step in one.steps
            ],
        )
        for name, one in declared.items()
    }
