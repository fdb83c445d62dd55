"""Which files make up a model.

A model file may name others (ONNX external data, OpenVINO weights), and such a name may be hostile:
`../`, an absolute path, a symbolic or hard link to something secret. Nothing here reads the model. Its
worker is granted these files one by one before it looks into the model, so a name that leads anywhere
else meets a closed door.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from wasmind.errors import InvalidEncoding, ModelLoadFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.config import Encoding

MAX_FILES = 4096
"""The most entries a model's directory may have, all levels together."""

Role: TypeAlias = Literal["model", "weights", "data", "tokenizer"]


class ModelFile(msgspec.Struct, frozen=True):
    """A file that a model's worker may read: the model, its weights, data that the model refers to, or what
    a conversion reads."""

    path: str
    """Absolute, without symbolic links."""
    role: Role


_IN_DIRECTORY: dict[str, Encoding] = {
    "model.onnx": "onnx",
    "model.xml": "openvino",
    "model.pt": "pytorch",
    "model.tflite": "tensorflowlite",
    "model.gguf": "ggml",
    "saved_model.pb": "tensorflow",
}
"""What the model's file is called in a directory of its own, as in wasmtime's `nn-graph` directories."""

_SUFFIXES = (".onnx", ".xml", ".pt", ".tflite", ".gguf")
_SIDECARS = (".bin", ".data", ".weights")


def files_of(
    path: Path, encoding: Encoding = "autodetect", weights: Path | None = None
) -> tuple[ModelFile, ...]:
    """The model's file, then the others that belong to it, in a stable order.

    For a directory those are all files beneath it; for `net.onnx`, what stands beside it as `net.onnx.*`,
    `net.onnx_*`, `net.bin`, `net.data` or `net.weights`. Symbolic links, and files with more than one
    hard link, are left out: what they lead to may belong to somebody else. `path` and `weights` are the
    operator's own word, so they may themselves be links, and are recorded as what they lead to.
    `encoding` chooses where a directory holds several models. Raises ModelLoadFailed, InvalidEncoding.
    """
    try:
        real = resolved(path)
        whole = real.is_dir()
        model = _regular(_in_directory(real, encoding) if whole else real)
        granted = [ModelFile(str(model), "model")]
        if weights is not None:
            granted.append(ModelFile(str(_regular(resolved(weights))), "weights"))
        known = {file.path for file in granted}
        others = sorted(set(_beneath(real) if whole else _beside(model)) - known)
    except OSError as error:
        raise ModelLoadFailed(
            f"the model's file {error.filename or path} cannot be read",
            cause=error.strerror,
            remedy="check the path and the rights of the file",
        ) from error
    # A second .bin, where the weights were named, is none of theirs.
    role: Role = "weights" if weights is None else "data"
    return (*granted, *(ModelFile(other, role if other.endswith(".bin") else "data") for other in others))


def resolved(path: Path) -> Path:
    """What a path leads to, links followed. Raises OSError, also for links that lead around in a circle."""
    return Path(os.path.realpath(path, strict=True))


def _regular(path: Path) -> Path:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ModelLoadFailed(f"{path} is no regular file", remedy="give the path of the model's file")
    if not found.st_size:
        raise ModelLoadFailed(f"{path} is empty", remedy="fetch or export the model again")
    if not _is_text(str(path)):
        raise ModelLoadFailed(f"the path {str(path)!r} is not UTF-8", remedy="rename the file")
    return path


def _in_directory(directory: Path, encoding: Encoding) -> Path:
    present = {entry.name for entry in directory.iterdir()}
    named = [name for name in _IN_DIRECTORY if name in present]
    fitting = [name for name in named if encoding in ("autodetect", _IN_DIRECTORY[name])]
    if not named:
        fitting = sorted(name for name in present if name.endswith(_SUFFIXES))
    if len(fitting) == 1:
        return resolved(directory / fitting[0])
    if fitting:
        raise InvalidEncoding(
            f"the directory {directory} holds several models",
            cause=f"there are {' and '.join(fitting)}",
            remedy="say which by its encoding, or give the path of the file",
        )
    wanted = " or ".join(name for name, holds in _IN_DIRECTORY.items() if encoding in ("autodetect", holds))
    raise ModelLoadFailed(
        f"the directory {directory} holds no model",
        cause=f"there is no {wanted}; it holds {_some(present)}",
        remedy="give the path of the model's file",
    )


def _some(names: set[str]) -> str:
    listed = sorted(names)[:5]
    return ", ".join(listed) + (", …" if len(names) > len(listed) else "") if names else "nothing"


def _beside(model: Path) -> Iterator[str]:
    with os.scandir(model.parent) as entries:
        for entry in entries:
            name = entry.name
            longer = name.startswith((f"{model.name}.", f"{model.name}_"))
            sidecar = name.startswith(model.stem) and name[len(model.stem) :] in _SIDECARS
            if (longer or sidecar) and _is_own(entry):
                yield entry.path


def _beneath(directory: Path) -> Iterator[str]:
    count = 0
    waiting = [str(directory)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                if count > MAX_FILES:
                    raise ModelLoadFailed(
                        f"the model's directory {directory} holds more than {MAX_FILES} files",
                        remedy="keep a model in a directory of its own",
                    )
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif _is_own(entry):
                    yield entry.path


def _is_own(entry: os.DirEntry[str]) -> bool:
    found = entry.stat(follow_symlinks=False)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and _is_text(entry.path)


def _is_text(path: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for letter in path)
