"""A model looked at closely: its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.onnx_models import linear
from wasmind.catalog.card import CardTensor
from wasmind.cli.cards import print_card
from wasmind.cli.inspect import describe, document_of
from wasmind.config import Card, Example, Model

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_model_is_described_from_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "linear.onnx").write_bytes(linear())
    settings = Model(path=tmp_path / "linear.onnx", description="words")
    first = await describe("linear", settings, tmp_path / "state")
    kept = list((tmp_path / "state" / "signatures").iterdir())
    assert len(kept) == 1
    assert await describe("linear", settings, tmp_path / "state") == first
    card, files = first
    assert files == [str(tmp_path / "linear.onnx")]
    assert card.inputs == (CardTensor(name="x", tensor="f32 [1,4]"),)
    assert card.description == "words"
    assert card.figures[0].runtime.startswith("onnxruntime")
    assert document_of(card, files)["files"] == files


async def test_a_card_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "linear.onnx").write_bytes(linear())
    (tmp_path / "labels").write_text("a\nb\nc\nd\n")
    card = Card(
        description="words " * 40,
        notes="one\n\ntwo \x1b[31m",
        licence="MIT",
        source="a friend",
        inputs={"x": "four numbers"},
        example=Example(text="hello"),
        answer="world",
    )
    settings = Model(path=tmp_path / "linear.onnx", labels=tmp_path / "labels", card=card)
    print_card(*await describe("linear", settings, tmp_path / "state"))
    printed = capsys.readouterr().out
    for line in (
        "  input  0 x: f32 [1,4]",
        "           four numbers",
        "  labels 4: a, b, c, d",
        "  licence MIT",
        "  source a friend",
        "  example text hello",
        "  answer world",
    ):
        assert line + "\n" in printed
    assert "an inference, loaded in" in printed
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines()[1:4])) <= 96
