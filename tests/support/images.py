"""Image files, whole and hostile."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("JPEG", "PNG", "WEBP")


def picture(width: int, height: int, mode: str = "RGB", seed: int = 7) -> Image.Image:
    """A picture with soft and hard edges."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 40, (height, width))
    planes = [
        (rows * 255 // max(1, height - 1)),
        (columns * 255 // max(1, width - 1)),
        ((rows // 5 + columns // 7) % 2 * 200 + noise),
    ]
    return Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def array_of(data: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, np.uint8)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of this announced size and these chunks."""
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = b""
    for kind, data in (head, *chunks, (b"IEND", b"")):
        body += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + body


def bombs() -> dict[str, bytes]:
    """Files that announce or unpack to far more than they hold."""
    row = zlib.compress(b"\0" * (50_000 * 3 + 1) * 20, 9)
    webp = encoded(picture(16, 16), "WEBP", lossless=True)
    jpeg = encoded(picture(16, 16), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    huge = (16383).to_bytes(3, "little")
    return {
        "png-huge": png(50_000, 50_000, (b"IDAT", row)),
        "png-largest": png(2**31 - 1, 2**31 - 1, (b"IDAT", row)),
        "jpeg-huge": jpeg[:at] + struct.pack(">HH", 65_500, 65_500) + jpeg[at + 4 :],
        "webp-huge": b"RIFF"
        + struct.pack("<I", len(webp))
        + b"WEBPVP8X\n\0\0\0\0\0\0\0"
        + huge
        + huge
        + webp[12:],
        "webp-lossless-huge": webp[:21] + (0x3FFF | 0x3FFF << 14).to_bytes(4, "little") + webp[25:],
    }


def mutants(count: int, seed: int = 1) -> Iterator[bytes]:
    """Valid files with something broken: bytes changed, cut out, doubled, cut off."""
    chance = random.Random(seed)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = [
        encoded(picture(40, 30), "JPEG", exif=exif),
        encoded(picture(40, 30), "JPEG", progressive=True),
        encoded(picture(40, 30, "CMYK"), "JPEG"),
        encoded(picture(40, 30), "PNG", exif=exif),
        encoded(picture(40, 30, "P"), "PNG"),
        encoded(picture(40, 30, "1"), "PNG"),
        encoded(picture(40, 30, "RGBA"), "WEBP", exif=exif),
        encoded(picture(40, 30), "WEBP", lossless=True),
        encoded(picture(40, 30), "WEBP", save_all=True, append_images=[picture(40, 30, seed=8)]),
    ]
    for _ in range(count):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.choice((1, 1, 2, 8, 64))):
            place = chance.randrange(len(data) // (1 if chance.random() < 0.5 else 8) or 1)
            match chance.randrange(5):
                case 0:
                    data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
                case 1:
                    data[place] ^= 1 << chance.randrange(8)
                case 2:
                    del data[place : place + chance.randrange(1, 20)]
                case 3:
                    data[place:place] = data[place : place + chance.randrange(1, 200)]
                case _:
                    data[place : place + 4] = chance.randbytes(4)
            if len(data) < 16:
                break
        yield bytes(data if chance.random() < 0.8 else data[: chance.randrange(len(data) + 1)])
