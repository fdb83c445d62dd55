"""What commands print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from wasmind.cli.output import document, reported, say, shorten, size, table
from wasmind.config import Limits, Size
from wasmind.errors import ModelLoadFailed


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 40, "3072.0 GiB"),
    ],
)
def test_sizes_are_for_people(count: int | None, text: str) -> None:
    assert size(count) == text


@given(st.integers(0, 1 << 50))
def test_a_size_is_right_to_a_tenth(count: int) -> None:
    number, unit = size(count).split()
    scale = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
    assert abs(float(number) * scale - count) <= 0.051 * scale


def test_documents_hold_sizes_as_numbers_and_paths_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    document({"size": Size(3), "path": Path("/x"), "limits": Limits()})
    printed = capsys.readouterr().out
    assert '"size": 3' in printed
    assert '"path": "/x"' in printed
    assert '"memory": 134217728' in printed


def test_a_table_is_wide_where_no_terminal_limits_it_and_shows_no_control_character(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table(("a", "b"), [("x" * 100, "\x1b[31mred"), (1, "[bold]plain[/bold]")], "nothing")
    printed = capsys.readouterr().out
    assert "x" * 100 in printed
    assert r"\e[31mred" in printed
    assert "[bold]plain[/bold]" in printed
    assert "\x1b" not in printed


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    table(("a",), [], "nothing here")
    assert capsys.readouterr().out == "nothing here\n"


def test_paths_are_short_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shorten(tmp_path / "a" / "b") == "a/b"
    assert shorten(Path("/elsewhere")) == "/elsewhere"


def fails(json: bool = False) -> None:
    raise ModelLoadFailed("it \x1b broke", cause="why", remedy="what")


def run(json: bool = False) -> None:
    """Named as the command whose stdout is its guest's."""
    fails()


@pytest.mark.parametrize(
    ("command", "options", "out", "err"),
    [
        (fails, {}, "", "error: it \\e broke\n  cause: why\n  remedy: what\n"),
        (fails, {"json": True}, '"code": "model-load-failed"', ""),
        (run, {"json": True}, "", '"code": "model-load-failed"'),
    ],
)
def test_errors_end_a_command_with_their_words_and_code(
    capsys: pytest.CaptureFixture[str], command: Any, options: dict[str, Any], out: str, err: str
) -> None:
    with pytest.raises(typer.Exit) as ended:
        reported(command)(**options)
    assert ended.value.exit_code == 4
    printed = capsys.readouterr()
    assert out in printed.out
    assert err in printed.err
    assert bool(printed.out) == bool(out)


def test_a_command_that_succeeds_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    reported(lambda: say("done"))()
    assert capsys.readouterr().out == "done\n"
