"""Converts photos to what the demo's function takes: 224 rows of 224 RGB pixels, three bytes each.

    python -m wasmind.demo.photo PHOTO > photo.rgb

With `-` for PHOTO, the photo is read from stdin.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import IO

from PIL import Image, ImageOps

from wasmind.demo import SIDE

SHARE = 224 / 256
"""How much of a photo's shorter side is kept, as when the classifier was evaluated."""


def to_rgb(photo: Path | IO[bytes]) -> bytes:
    """The middle of a photo, upright, as `SIDE * SIDE * 3` bytes: rows from the top, red, green and blue.

    Raises OSError when the file cannot be read or is no image, and Pillow's DecompressionBombError.
    """
    with Image.open(photo) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    side = min(image.size) * SHARE
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side)
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box).tobytes()


def main(arguments: list[str]) -> int:
    """Convert one photo, from a file or stdin, to stdout."""
    if len(arguments) != 1 or arguments[0].startswith("--"):
        sys.stderr.write("usage: python -m wasmind.demo.photo PHOTO > photo.rgb   (- reads stdin)\n")
        return 2
    try:
        source = io.BytesIO(sys.stdin.buffer.read()) if arguments[0] == "-" else Path(arguments[0])
        sys.stdout.buffer.write(to_rgb(source))
    except (OSError, Image.DecompressionBombError) as error:
        sys.stderr.write(f"{arguments[0]} cannot be converted: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
