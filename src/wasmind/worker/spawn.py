"""Model workers, from the outside: start one, know when it serves, know how it died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from wasmind.errors import InvalidEncoding, ModelLoadFailed, NnError, UnsupportedOperation
from wasmind.nn.explain import is_of_memory
from wasmind.worker.lines import Lines
from wasmind.worker.spec import END, LEAVE, MAX_REPORT, LoadFailed, Ready, Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wasmind.worker.spec import WorkerSpec

BACKLOG = 1024
_PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TZ")
_REFUSALS: dict[str, type[NnError]] = {
    kind.code: kind for kind in (ModelLoadFailed, InvalidEncoding, UnsupportedOperation)
}
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def listen(path: Path) -> socket.socket:
    """A listening Unix socket for a model's workers, which only this user may connect to.

    Whoever starts the workers keeps it open: while none runs, connections wait in its backlog for the next.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker ended."""

    reason: str
    """In words: "killed by signal 9 (SIGKILL)"."""
    status: int
    """The exit status, or minus the signal's number."""
    expected: bool
    """It was told to."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a worker uses now."""

    memory: int
    """Resident bytes."""
    cpu_s: float
    """CPU seconds since it started."""
    threads: int


async def spawn(
    spec: WorkerSpec, listener: socket.socket, *, log: Callable[[str], None] | None = None
) -> WorkerProcess:
    """Start a process that serves `spec` on `listener`. `log` receives the lines of its standard error."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    output, errors = os.pipe()
    try:
        # Not the event loop's own way: this one forks without running Python in the child, whatever the loop.
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "wasmind.worker",
                str(theirs.fileno()),
                str(listener.fileno()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=(theirs.fileno(), listener.fileno()),
            env=_environment(spec),
        )
    except BaseException:
        ours.close()
        os.close(output)
        raise
    finally:
        theirs.close()
        os.close(errors)
    return WorkerProcess(spec, process, ours, output, log or (lambda _line: None))


class WorkerProcess:
    """One model worker, made by `spawn`."""

    def __init__(
        self,
        spec: WorkerSpec,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        output: int,
        log: Callable[[str], None],
    ) -> None:
        self.spec = spec
        self.pid = process.pid
        self._process = process
        self._control = control
        self._log = log
        self._last_words: deque[str] = deque(maxlen=20)
        self._lines = Lines(output, self._hear)
        self._killed_for: str | None = None
        self._stopping = False
        self._report: asyncio.Task[Report | None] = asyncio.create_task(self._read_report())
        self._ended: asyncio.Task[Death] = asyncio.create_task(self._await_end())

    async def ready(self) -> Ready:
        """Wait until it serves. Raises ModelLoadFailed, InvalidEncoding, UnsupportedOperation."""
        report = await asyncio.shield(self._report)
        if isinstance(report, Ready):
            return report
        if isinstance(report, LoadFailed):
            kind = _REFUSALS.get(report.code, ModelLoadFailed)
            raise kind(report.message, cause=report.cause, remedy=report.remedy)
        death = await self.wait()
        raise ModelLoadFailed(
            f"the process of the model {self.spec.name!r} ended while loading", cause=death.reason
        )

    async def wait(self) -> Death:
        """Wait until it has ended, however that came about."""
        return await asyncio.shield(self._ended)

    async def stop(self, drain_s: float = 10.0) -> Death:
        """Let it answer what it has accepted, for so long; then end it."""
        return await self._end(END, drain_s)

    async def leave(self, drain_s: float) -> Death:
        """Let it serve those who are connected until each has left, for so long; then end it."""
        return await self._end(LEAVE, drain_s)

    async def _end(self, word: bytes, drain_s: float) -> Death:
        self._stopping = True
        if not self._report.done():
            self.kill("stopped while loading")
        with contextlib.suppress(OSError):
            self._control.send(word)
        try:
            return await asyncio.wait_for(self.wait(), drain_s)
        except TimeoutError:
            self.kill(f"stopped: it had not finished after {drain_s:g} s")
            return await self.wait()

    def kill(self, reason: str) -> None:
        """End it at once; `reason` is what `wait` then says."""
        if not self._ended.done():
            self._killed_for = self._killed_for or reason
            self._process.kill()

    def usage(self) -> Usage | None:
        """What it uses; None when it has ended."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        return Usage(
            memory=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            cpu_s=(int(fields[11]) + int(fields[12])) / ticks,
            threads=int(fields[17]),
        )

    async def _read_report(self) -> Report | None:
        """The worker's report, or None when it ended, took too long or reported nonsense."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.spec.load_timeout_ms / 1e3):
                body = msgspec.msgpack.encode(self.spec)
                await loop.sock_sendall(self._control, len(body).to_bytes(4, "little") + body)
                length = int.from_bytes(await self._receive(4), "little")
                return _reports.decode(await self._receive(min(length, MAX_REPORT)))
        except TimeoutError:
            self.kill(f"killed: loading took longer than {self.spec.load_timeout_ms / 1e3:g} s")
        except (msgspec.MsgspecError, ValueError) as error:
            self.kill(f"killed: its report cannot be read ({error})")
        except (EOFError, OSError):
            return None  # it ended; `wait` tells how
        return None

    async def _receive(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < count:
            part = await loop.sock_recv(self._control, count - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    async def _await_end(self) -> Death:
        await _exit_of(self.pid)
        status = self._process.wait()
        self._lines.close()
        if not self._report.done():
            await asyncio.wait([self._report])
        self._control.close()
        return Death(self._reason(status), status, self._stopping)

    def _hear(self, line: str) -> None:
        self._last_words.append(line)
        self._log(line)

    def _reason(self, status: int) -> str:
        if self._killed_for:
            return self._killed_for
        if self._stopping and status == 0:
            return "stopped"
        phase = "" if self._report.result() is not None else " while loading"
        words = next((line for line in reversed(self._last_words) if line.strip()), "")
        if any(map(is_of_memory, self._last_words)):
            return f"went over its memory limit of {self.spec.memory >> 20} MiB{phase}"
        if status == -signal.SIGALRM:
            return f"killed: a run went over its limit of {self.spec.run_limit_ms / 1e3:g} s and did not stop"
        if status < 0:
            reason = f"killed by signal {-status} ({_signal_name(-status)}){phase}"
        else:
            reason = f"exited with status {status}{phase}"
        return f"{reason}: {words}" if words else reason


async def _exit_of(pid: int) -> None:
    """Wait for a child's end."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, _resolve, ended)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _environment(spec: WorkerSpec) -> dict[str, str]:
    """What the worker needs of the environment. The rest may hold secrets, and a framework may act on it."""
    found = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    found |= {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    return found if spec.device is None else found | spec.device.env
