from __future__ import annotations

import pytest

from support.images import FORMATS, bombs, encoded, mutants, picture
from wasmind.nn.files import image_format, looks_like


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (37, 501), (640, 480)])
def test_an_image_tells_its_size(kind: str, size: tuple[int, int]) -> None:
    assert image_format(encoded(picture(*size), kind)) == (kind, *size)


def test_every_kind_of_webp_and_jpeg_tells_its_size() -> None:
    image = picture(70, 50)
    for options in ({"lossless": True}, {"exif": b"Exif\0\0"}, {"save_all": True, "append_images": [image]}):
        assert image_format(encoded(image, "WEBP", **options)) == ("WEBP", 70, 50)
    assert image_format(encoded(image, "JPEG", progressive=True, icc_profile=bytes(70_000))) == (
        "JPEG",
        70,
        50,
    )


def test_a_view_will_do() -> None:
    data = bytearray(encoded(picture(9, 8), "JPEG"))
    assert image_format(memoryview(data)) == ("JPEG", 9, 8)
    assert looks_like(memoryview(data)) == "a JPEG image"


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_tells_too(name: str) -> None:
    found = image_format(bombs()[name])
    assert found is not None
    assert found[1] * found[2] > 100_000_000


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBPVP8 ", b"x" * 99]
)
def test_what_does_not_tell_is_none(data: bytes) -> None:
    assert image_format(data) is None


def test_a_jpeg_of_tiny_segments_is_given_up() -> None:
    assert image_format(b"\xff\xd8" + b"\xff\xe1\0\2" * 1_000_000) is None
    assert image_format(b"\xff\xd8\xff\xe0\0\0" + bytes(100)) is None


def test_no_bytes_break_it() -> None:
    for data in mutants(500, seed=3):
        found = image_format(data)
        assert found is None or (found[0] in FORMATS and found[1] > 0 and found[2] > 0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"RIFF1234WEBP", "a WebP image"),
        (b"GIF89a", "a GIF image"),
        (b"%PDF-1.7", "a PDF document"),
        (bytes(100), None),
        (b"", None),
    ],
)
def test_bytes_look_like_something(data: bytes, words: str | None) -> None:
    assert looks_like(data) == words
