"""WASI 0.2 as a serverless platform offers it: no files, no sockets, and waiting never holds the loop."""

from __future__ import annotations

from wasmind.guest_api.wasi.p2 import absent, cli, clocks, io, random

INTERFACES = (
    io.error,
    io.poll,
    io.streams,
    clocks.monotonic_clock,
    clocks.wall_clock,
    random.random,
    random.insecure,
    random.insecure_seed,
    cli.environment,
    cli.exit_,
    cli.stdin,
    cli.stdout,
    cli.stderr,
    cli.terminal_input,
    cli.terminal_output,
    cli.terminal_stdin,
    cli.terminal_stdout,
    cli.terminal_stderr,
    *absent.INTERFACES,
)
"""Every interface of WASI 0.2 that a component may import."""
