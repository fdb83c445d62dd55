from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wasmind.demo import SIDE, photo

SIZE = SIDE * SIDE * 3


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> io.BytesIO:
    data = io.BytesIO()
    image.save(data, format_, **options)
    data.seek(0)
    return data


def pixels(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(SIDE, SIDE, 3)


@settings(max_examples=20)
@given(st.integers(1, 600), st.integers(1, 600), st.sampled_from(["RGB", "RGBA", "L", "1", "P", "CMYK"]))
def test_any_photo_becomes_as_many_bytes(width: int, height: int, mode: str) -> None:
    format_ = "TIFF" if mode == "CMYK" else "PNG"
    assert len(photo.to_rgb(encoded(Image.new(mode, (width, height)), format_))) == SIZE


def test_the_middle_is_kept() -> None:
    image = Image.new("RGB", (768, 256), "black")
    image.paste((250, 100, 50), (256, 0, 512, 256))
    found = pixels(photo.to_rgb(encoded(image)))
    assert (found == (250, 100, 50)).all()


def test_rows_go_from_the_top_red_first() -> None:
    image = Image.new("RGB", (256, 256), (255, 0, 0))
    image.paste((0, 0, 255), (0, 128, 256, 256))
    found = pixels(photo.to_rgb(encoded(image)))
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[-1, 0].tolist() == [0, 0, 255]


def test_a_photo_is_put_upright() -> None:
    image = Image.new("RGB", (256, 256), (255, 0, 0))
    image.paste((0, 0, 255), (0, 128, 256, 256))
    turned = Image.Exif()
    turned[0x0112] = 3  # the camera was upside down
    found = pixels(photo.to_rgb(encoded(image, "JPEG", exif=turned, quality=95)))
    assert found[0, 0].argmax() == 2
    assert found[-1, 0].argmax() == 0


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "wasmind.demo.photo", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_the_command_converts_a_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(Image.new("RGB", (300, 400), (1, 2, 3))).getvalue())
    done = run(str(path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == bytes((1, 2, 3)) * (SIDE * SIDE)


def test_the_command_reads_stdin() -> None:
    done = run("-", stdin=encoded(Image.new("RGB", (10, 10))).getvalue())
    assert done.stdout == bytes(SIZE)


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert photo.main([]) == 2
    assert "usage:" in capsys.readouterr().err
    (tmp_path / "x.txt").write_text("no photo")
    assert photo.main([str(tmp_path / "x.txt")]) == 1
    assert "cannot be converted: cannot identify image file" in capsys.readouterr().err
    assert photo.main([str(tmp_path / "gone.png")]) == 1
    assert "No such file" in capsys.readouterr().err
