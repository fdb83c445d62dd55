"""Models told as to other hosts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from wasmind.config.model import Encoding, Model, Target


def preloaded(text: str, base: Path) -> tuple[str, Model]:
    """A model's name and settings from a preload entry, in one of the shapes that other hosts use.

    - `DIR` or `ENCODING::DIR`, as in `wasmtime -S nn-graph`: the name is the directory's own
    - `NAME:ENCODING:TARGET:PATH[:WEIGHTS]`, as in `wasmedge --nn-preload`

    `base` gives "." and ".." a name. Raises ValueError, which says what is wrong.
    """
    match text.split(":"):
        case [path] if path:
            return _directory_name(base / path), Model(path=Path(path))
        case [encoding, "", path] if path:
            return _directory_name(base / path), Model(path=Path(path), encoding=_word(encoding, Encoding))
        case [name, encoding, target, path, *weights] if path and len(weights) < 2:
            return name, Model(
                path=Path(path),
                weights=Path(*weights) if weights else None,
                encoding=_word(encoding, Encoding),
                target="cpu" if target.lower() == "auto" else _word(target, Target),
            )
    raise ValueError("expected DIR, ENCODING::DIR or NAME:ENCODING:TARGET:PATH")


def _directory_name(path: Path) -> str:
    return Path(os.path.normpath(path)).name


def _word(word: str, kind: Any) -> Any:
    known = get_args(kind)
    if word.lower() not in known:
        raise ValueError(f"{word!r} is none of {', '.join(known)}")
    return word.lower()
