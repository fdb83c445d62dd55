"""nghttpx, a proxy of nghttp2's: it speaks HTTP/2 before a server of HTTP/1.1."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from support.peers import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PATIENCE_S = 10.0


@contextmanager
def nghttpx(
    behind: int, certificate: tuple[Path, Path] | None = None, options: Sequence[str] = ()
) -> Iterator[int]:
    """Its port. With a certificate (key, chain) it takes TLS; without, HTTP/2 from the first byte."""
    program = shutil.which("nghttpx")
    if program is None:
        pytest.skip("nghttpx is not installed (on Debian: apt install nghttp2-proxy)")
    (port,) = free_ports(1)
    command = [
        program,
        f"--frontend=127.0.0.1,{port}{'' if certificate else ';no-tls'}",
        f"--backend=127.0.0.1,{behind}",
        "--conf=/dev/null",
        "--no-ocsp",
        "--workers=1",
        "--errorlog-file=/dev/null",
        "--accesslog-file=/dev/null",
        *options,
        *(map(str, certificate or ())),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("nghttpx did not start")
