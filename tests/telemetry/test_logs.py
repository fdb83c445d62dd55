"""Records: one line each, escaped, for people or machines."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmind.errors import ModelDied
from wasmind.telemetry import logs
from wasmind.telemetry.escape import escape

if TYPE_CHECKING:
    from pathlib import Path


class Pipe:
    """A descriptor to log to, and what arrived there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def lines(self) -> list[str]:
        return self.path.read_text().split("\n")[:-1]


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "log")


def test_json_records_parse_and_carry_every_field(pipe: Pipe) -> None:
    logger = logs.configure("json", fd=pipe.fd, process="edge 0")
    logger.warning("model died", model="digits", restarts=3, path=pipe.path)
    (line,) = pipe.lines()
    record = json.loads(line)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "model died",
        "level": "warning",
        "process": "edge 0",
        "model": "digits",
        "restarts": 3,
        "path": str(pipe.path),
    }


def test_console_records_are_for_people(pipe: Pipe) -> None:
    logger = logs.configure("console", fd=pipe.fd, process="node")
    logger.info("model ready", model="digits", seconds=0.123456, note="two words", nothing=None)
    (line,) = pipe.lines()
    assert line[8:] == '   node: model ready  model=digits seconds=0.1235 note="two words"'


def test_an_error_shows_its_cause_and_remedy_below(pipe: Pipe) -> None:
    logger = logs.configure("console", fd=pipe.fd)
    logger.error("no answer", **logs.failure(ModelDied("it died", cause="SIGSEGV", remedy="look")))
    assert [line.strip() for line in pipe.lines()][1:] == ["error: it died", "cause: SIGSEGV", "remedy: look"]
    assert logs.failure(KeyError("x")) == {"error": "KeyError: 'x'"}


def test_levels_below_the_chosen_one_are_left_out(pipe: Pipe) -> None:
    logger = logs.configure("json", "warning", fd=pipe.fd)
    logger.info("quiet")
    logger.error("loud")
    assert [json.loads(line)["event"] for line in pipe.lines()] == ["loud"]


@pytest.mark.parametrize("form", ["console", "json"])
def test_one_record_is_one_line_whatever_it_says(pipe: Pipe, form: logs.Format) -> None:
    nasty = "a\nb\r\x1b[31mred\x1b[0m\x00\u2028\u202eevil\x9b0m"
    logs.configure(form, fd=pipe.fd).info(nasty, who=nasty, other=[nasty])
    (line,) = pipe.lines()
    assert not set(line) & set("\r\x1b\x00\u2028\u202e\x9b")
    assert r"\e[31mred" in (json.loads(line)["event"] if form == "json" else line)


def test_a_log_nobody_reads_is_no_reason_to_fail() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    logs.configure("json", fd=writer).info("to nobody")
    os.close(writer)


@given(st.text())
def test_escaped_text_is_printable_and_clean_text_is_untouched(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    assert "\x1b" not in escaped
    assert escape(escaped) == escaped
    if text.isprintable():
        assert escaped == text
