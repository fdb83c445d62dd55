"""A model's encoding, seen from its bytes."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

from wasmind.errors import InvalidEncoding
from wasmind.nn import encoding as nn_encoding

if TYPE_CHECKING:
    from pathlib import Path

    from wasmind.config import Encoding

MAX_ZIP_DIRECTORY = 8 << 20
"""A zip archive's list of entries is read into memory up to this many bytes; TorchScript needs thousands at
most."""

_OTHERS = {
    b"\x80": "a Python pickle, and loading one runs code that it names",
    b"\x89HDF": "HDF5, as Keras writes it, and its layers may hold code",
    b"\x1f\x8b": "a gzip archive",
    b"version https://git-lfs": "a Git LFS pointer instead of the file itself",
    b"<!DOCTYPE html": "a web page",
    b"<html": "a web page",
    b"\x7fELF": "a native program or library",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\0asm": "a WebAssembly program",
}
_EXPORT_TORCHSCRIPT = (
    "export TorchScript with torch.jit.trace(model, example).save(path), or ONNX with torch.onnx.export"
)


def encoding_of(path: Path, expected: Encoding = "autodetect") -> Encoding:
    """The encoding of the model in `path`, which is checked against `expected`.

    Looks at magic numbers only, and at a zip archive's list of entries: no parser of a framework runs.
    Bytes that show nothing are taken for what was expected. Raises InvalidEncoding, with what was found;
    OSError.
    """
    with open(path, "rb") as file:
        head = file.read(nn_encoding.HEAD)
        sniffed = nn_encoding.sniff(head)
        if sniffed is nn_encoding.Encoding.PYTORCH:
            _require_torchscript(path, file)
    found: Encoding | None = None if sniffed is None else sniffed.value
    if found is None:
        looks = looks_like(head)
        if expected == "autodetect" or looks is not None:
            raise InvalidEncoding(
                f"{path} is no model in an encoding that is known here",
                cause=f"it is {looks}" if looks else f"it begins with {head[:16].hex(' ')}",
                remedy=_EXPORT_TORCHSCRIPT
                if head[:1] == b"\x80"
                else "bring ONNX, OpenVINO IR, TFLite, TorchScript, a SavedModel or GGUF",
            )
        return expected
    if expected not in ("autodetect", found):
        raise InvalidEncoding(
            f"{path} is not {expected}",
            cause=f"its bytes are {found}",
            remedy=f'leave `encoding` out, or set it to "{found}"',
        )
    return found


def looks_like(head: bytes) -> str | None:
    """What a file that is no model is, in words, when its first bytes show it."""
    for magic, words in _OTHERS.items():
        if head.startswith(magic):
            return words
    # safetensors: the length of a JSON header in 8 bytes, then the header.
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= 100 << 20:
        return "safetensors, which has weights but no graph"
    if head and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "plain text"
    return None


def _require_torchscript(path: Path, file: io.BufferedReader) -> None:
    """Tell TorchScript from the pickles that `torch.save` writes into the same kind of archive."""
    try:
        if _zip_directory_size(file) > MAX_ZIP_DIRECTORY:
            raise InvalidEncoding(f"{path} is no TorchScript", cause="its archive lists too many entries")
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise InvalidEncoding(
            f"{path} is a damaged zip archive", cause=str(error), remedy="fetch or export the model again"
        ) from error
    if any("/code/" in name for name in names) and any(name.endswith("/constants.pkl") for name in names):
        return
    pickled = any(name.endswith("data.pkl") for name in names)
    keras = {"config.json", "metadata.json"} <= set(names)
    raise InvalidEncoding(
        f"{path} is no TorchScript",
        cause="it is a pickle written by torch.save, and loading one runs code that it names"
        if pickled
        else "it is a Keras archive, and its layers may hold code"
        if keras
        else "it is a zip archive without a program in it",
        remedy=_EXPORT_TORCHSCRIPT,
    )


def _zip_directory_size(file: io.BufferedReader) -> int:
    """The size that a zip archive gives for its list of entries, in bytes. Raises BadZipFile."""
    size = file.seek(0, os.SEEK_END)
    # The end: [zip64 record of 56 bytes, its locator of 20,] a record of 22 bytes, a comment of up to 65535.
    file.seek(max(0, size - 56 - 20 - 22 - 0xFFFF))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise zipfile.BadZipFile("it has no end record")
    found = int.from_bytes(tail[at + 12 : at + 16], "little")
    if at >= 76 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        found = max(found if found != 0xFFFFFFFF else 0, int.from_bytes(tail[at - 36 : at - 28], "little"))
    return found
