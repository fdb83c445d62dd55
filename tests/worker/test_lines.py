"""What a worker writes, line by line."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from wasmind.worker.lines import MAX_LINE, Lines

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pipe:
    def __init__(self) -> None:
        self.output, self.errors = os.pipe()
        self.log: list[str] = []

    def write(self, data: bytes) -> None:
        os.write(self.errors, data)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.errors)


async def test_lines_come_as_they_are_written(pipe: Pipe) -> None:
    lines = Lines(pipe.output, pipe.log.append)
    pipe.write(b"one\ntwo\nthr")
    await asyncio.sleep(0.01)
    assert pipe.log == ["one", "two"]
    pipe.write(b"ee\n\n")
    await asyncio.sleep(0.01)
    assert pipe.log == ["one", "two", "three", ""]
    lines.close()


async def test_the_last_words_need_no_end(pipe: Pipe) -> None:
    lines = Lines(pipe.output, pipe.log.append)
    pipe.write(b"terminate called\nwithout an end")
    lines.close()
    lines.close()
    assert pipe.log == ["terminate called", "without an end"]


async def test_terminals_are_not_driven(pipe: Pipe) -> None:
    lines = Lines(pipe.output, pipe.log.append)
    pipe.write(b"\x1b[31mred\x1b[0m\xff\r\n")
    lines.close()
    assert pipe.log == ["\\e[31mred\\e[0m\ufffd"]


@pytest.mark.parametrize("length", [MAX_LINE + 1, 20_000, 60_000])
async def test_a_line_without_end_is_cut_and_told_once(pipe: Pipe, length: int) -> None:
    lines = Lines(pipe.output, pipe.log.append)
    for _ in range(3):
        pipe.write(b"x" * length)
        await asyncio.sleep(0.005)
    pipe.write(b"\nnext\n")
    await asyncio.sleep(0.005)
    lines.close()
    assert pipe.log == ["x" * MAX_LINE, "next"]


async def test_a_closed_pipe_ends_it(pipe: Pipe) -> None:
    lines = Lines(pipe.output, pipe.log.append)
    other = os.dup(pipe.errors)
    pipe.write(b"bye\n")
    os.close(pipe.errors)
    os.close(other)
    await asyncio.sleep(0.01)
    assert pipe.log == ["bye"]
    lines.close()
    pipe.errors = os.open(os.devnull, os.O_WRONLY)
