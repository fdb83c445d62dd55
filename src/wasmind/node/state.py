"""A node's state directory: one node at a time, a run directory with short paths, and what outlives a run.

The state directory holds the artifact cache, uploaded graphs and the lock file. The run directory holds
sockets and metrics; it is private to the owner, and its path is short since a Unix socket's has 107 bytes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wasmind.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Owner(msgspec.Struct, frozen=True):
    """What the lock file says of the node that holds it."""

    pid: int
    run: str


class StateDir:
    """The state directory of the node that runs in this process. Made by `StateDir.take`."""

    def __init__(self, path: Path, run: Path, lock: int) -> None:
        self.path = path
        self.run = run
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> StateDir:
        """Make and lock `path`, and clear what a killed node left. Raises NodeError."""
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NodeError(
                f"the state directory {path} cannot be used",
                cause=error.strerror,
                remedy="choose another one with `state` in [node]",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            owner = read_owner(path)
            raise NodeError(
                f"another node{f' (process {owner.pid})' if owner else ''} uses the state directory {path}",
                remedy="stop it with `wasmind stop`, or give this node another `state` in [node]",
            ) from error
        before = read_owner(path)
        if before:
            _remove_run(Path(before.run))
        run = Path(tempfile.mkdtemp(prefix="wasmind-", dir=_runtime_dir()))
        (run / "metrics").mkdir()
        os.ftruncate(lock, 0)
        os.pwrite(lock, msgspec.json.encode(Owner(os.getpid(), str(run))), 0)
        return cls(path.resolve(), run, lock)

    @property
    def cache(self) -> Path:
        """Compiled programs."""
        return self.path / "cache"

    @property
    def metrics(self) -> Path:
        """The metric files of this run's processes."""
        return self.run / "metrics"

    def release(self) -> None:
        """Remove the run directory and let another node have the state."""
        _remove_run(self.run)
        (self.path / "node.sock").unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)
        os.close(self._lock)


def read_owner(path: Path) -> Owner | None:
    """Which node holds, or held last, the state directory `path`."""
    try:
        return msgspec.json.decode((path / "lock").read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None


def listen_on_status(path: Path) -> socket.socket:
    """A listening Unix socket `node.sock` in the state directory `path`, for the owner only."""
    with _short(path) as short:
        (path / "node.sock").unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(f"{short}/node.sock")
        finally:
            os.umask(before)
        listener.listen(16)
        return listener


def connect_to_status(path: Path) -> socket.socket:
    """Connect to the node that runs on the state directory `path`. Raises NodeError."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as short:
            client.connect(f"{short}/node.sock")
    except OSError as error:
        client.close()
        raise NodeError(
            f"no node runs on the state directory {path}",
            cause=error.strerror,
            remedy="start one with `wasmind serve`, or name its configuration with -c FILE",
        ) from error
    return client


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of directory `path` that fits a socket address, however long its path is."""
    directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}"
    finally:
        os.close(directory)


def _runtime_dir() -> str | None:
    found = os.environ.get("XDG_RUNTIME_DIR")
    return found if found and len(found) < 40 and os.access(found, os.W_OK | os.X_OK) else "/tmp"  # noqa: S108


def _remove_run(path: Path) -> None:
    if path.name.startswith("wasmind-") and path.is_dir() and path.stat().st_uid == os.getuid():
        shutil.rmtree(path, ignore_errors=True)
