"""Clocks, randomness, the command line, and what is absent."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support.p2 import Exited, P2Guest
from wasmind.component.abi.values import Err, Ok
from wasmind.errors import LimitExceeded
from wasmind.guest_api.stdio import BytesSource
from wasmind.guest_api.wasi.p2 import absent, cli, clocks, random
from wasmind.guest_api.wasi.preview1 import MAX_RANDOM


def guest(**given: Any) -> Any:
    return P2Guest(**given)


def test_the_monotonic_clock() -> None:
    one, two = clocks.now(guest()), clocks.now(guest())
    assert 0 <= one <= two < time.monotonic_ns()
    assert clocks.resolution(guest()) == 1
    assert clocks.subscribe_instant(guest(), 0).ready
    assert clocks.subscribe_duration(guest(), 0).ready
    assert not clocks.subscribe_duration(guest(), 10**12).ready
    assert not clocks.subscribe_instant(guest(), 2**64 - 1).ready


def test_the_wall_clock() -> None:
    seconds, nanoseconds = clocks.wall_now(guest())
    assert abs(seconds + nanoseconds / 1e9 - time.time()) < 10
    assert 0 <= nanoseconds < 10**9
    assert clocks.wall_resolution(guest()) == (0, 1)


def test_randomness() -> None:
    assert len(random.random_bytes(guest(), 33)) == 33
    assert random.random_bytes(guest(), 16) != random.random_bytes(guest(), 16)
    assert len({random.random_u64(guest()) for _ in range(50)}) == 50
    assert all(0 <= part < 2**64 for part in random.seed(guest()))
    for size in (MAX_RANDOM + 1, 2**64 - 1):
        with pytest.raises(LimitExceeded, match="random bytes"):
            random.random_bytes(guest(), size)


def test_the_environment() -> None:
    made = guest(environ=(b"A=1", b"B=x=y", b"C=", b"D=\xff"), arguments=(b"prog", b"-v"))
    assert cli.get_environment(made) == [("A", "1"), ("B", "x=y"), ("C", ""), ("D", "�")]
    assert cli.get_arguments(made) == ["prog", "-v"]
    assert cli.initial_cwd(made) is None  # type: ignore[func-returns-value]


def test_standard_streams() -> None:
    made = guest(stdin=BytesSource(b"in"))
    assert bytes(cli.get_stdin(made).take(9)) == b"in"
    cli.get_stdout(made).write(b"out")
    cli.get_stderr(made).write(b"err")
    assert (made.stdout.value, made.stderr.value) == (b"out", b"err")


@pytest.mark.parametrize(("status", "code"), [(Ok(None), 0), (Err(None), 1)])
def test_the_end(status: Any, code: int) -> None:
    made = guest()
    with pytest.raises(Exited):
        cli.exit_with_status(made, status)
    assert made.exit_code == code


def test_the_end_with_a_code() -> None:
    made = guest()
    with pytest.raises(Exited):
        cli.exit_with_code(made, 42)
    assert made.exit_code == 42


def test_no_terminals_no_directories_no_network() -> None:
    assert cli.no_terminal(guest()) is None  # type: ignore[func-returns-value]
    assert absent.get_directories(guest()) == []
    assert absent.get_network(guest()) is not None
