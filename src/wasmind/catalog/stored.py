"""Files written whole or not at all, and small values kept in them as MessagePack.

The values are what was found out once and can be found out again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

Value = TypeVar("Value")
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
_making = threading.Lock()


def read(path: Path, kind: type[Value]) -> Value | None:
    """The value in `path`; None when there is none, or none of this kind (an older version wrote it)."""
    try:
        found: Value = _decoder(kind).decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    return found


def _decoder(kind: type[Value]) -> msgspec.msgpack.Decoder[Value]:
    """One for each kind, made by one thread at a time: msgspec is not safe where several make one at once."""
    with _making:
        if kind not in _decoders:
            _decoders[kind] = msgspec.msgpack.Decoder(kind)
        return _decoders[kind]


def write(path: Path, value: object) -> None:
    """Put `value` into `path`, as `write_bytes` does. Raises OSError."""
    write_bytes(path, msgspec.msgpack.encode(value))


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` into `path`, whole or not at all, whatever else writes there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
