"""What bytes look like: files that a guest may take for a tensor, known by their first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.nn.tensor import Buffer

_MAX_SEGMENTS = 4096

_OTHERS = (
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF document"),
)


def image_format(data: Buffer) -> tuple[str, int, int] | None:
    """The format (`JPEG`, `PNG` or `WEBP`) of an image file, and the width and height that it announces.

    None if it is none of these, or does not say. Nothing is decoded.
    """
    head = bytes(data[:64])
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return _sized("PNG", int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    if head.startswith(b"\xff\xd8\xff"):
        sizes = list(_jpeg_sizes(data))
        return _sized("JPEG", *max(sizes, key=lambda size: size[0] * size[1])) if sizes else None
    return None


def looks_like(data: Buffer) -> str | None:
    """What these bytes begin like, in words; None if like nothing known."""
    head = bytes(data[:16])
    if head.startswith(b"\xff\xd8\xff"):
        return "a JPEG image"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "a PNG image"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    return next((words for magic, words in _OTHERS if head.startswith(magic)), None)


def _sized(kind: str, width: int, height: int) -> tuple[str, int, int] | None:
    return (kind, width, height) if width and height else None


def _webp(head: bytes) -> tuple[str, int, int] | None:
    chunk = head[12:16]
    if chunk == b"VP8X" and len(head) >= 30:
        return "WEBP", 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if chunk == b"VP8L" and len(head) >= 25 and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return "WEBP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and len(head) >= 30 and head[23:26] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return _sized("WEBP", width, height)
    return None


def _jpeg_sizes(data: Buffer) -> Iterator[tuple[int, int]]:
    """The sizes in the headers of all frames before the first scan; one is usual."""
    position, end = 2, len(data)
    for _ in range(_MAX_SEGMENTS):
        if position + 4 > end or data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # no length follows
            position += 2
            continue
        if marker in (0xD8, 0xD9, 0xDA):
            return
        length = data[position + 2] << 8 | data[position + 3]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and position + 9 <= end:
            height, width = (data[at] << 8 | data[at + 1] for at in (position + 5, position + 7))
            yield width, height
        if length < 2:
            return
        position += 2 + length
