"""The node's listening TCP sockets. The supervisor holds them, so an edge's restart loses no connection."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from wasmind.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterable

BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel takes the smaller of this and net.core.somaxconn."""

_SO_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""The classic BPF program `ret #0` (socket(7), bpf(4))."""


def listen(host: str, port: int, setting: str, count: int = 1) -> list[socket.socket]:
    """Make `count` sockets that share `host`:`port` (0: any free port). Raises NodeError, naming `setting`.

    The port is first bound alone: sockets that share a port would also share it with another program's.
    """
    family, address = _resolve(host, port)
    with _bound(family, address, host, port, setting, share=False) as alone:
        address = alone.getsockname()
    listeners = [_bound(family, address, host, port, setting, share=True) for _ in range(count)]
    for listener in listeners:
        listener.listen(BACKLOG)
        listener.setblocking(False)
    return listeners


def deafen(listener: socket.socket) -> None:
    """Let no more connections come to `listener`, whoever holds it; those that wait to be accepted stay.

    Closing a socket resets what waits in its queue. A filter that drops every packet to the socket itself
    (none to the connections made from it) keeps new ones away while the queue is emptied: their clients try
    again a second later, and find it closed. Where the system keeps filters to itself, a queue that is too
    short does nearly as well: one connection finds room in it.
    """
    program = ctypes.create_string_buffer(_DROP_ALL)
    filters = struct.pack("HP", 1, ctypes.addressof(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filters)
    except PermissionError:
        listener.listen(0)


def _resolve(host: str, port: int) -> tuple[int, Any]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise NodeError(
            f"{host!r} is no address to listen on", cause=error.strerror, remedy="set `host` in [node]"
        ) from error
    return family, address


def _bound(family: int, address: Any, host: str, port: int, setting: str, *, share: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, share)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port, setting) from error
    return listener


def _explained(error: OSError, host: str, port: int, setting: str) -> NodeError:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        cause = (
            f"process {holder[0]} ({holder[1]}) listens there" if holder else "another process listens there"
        )
        return NodeError(
            f"port {port} on {host} is taken",
            cause=cause,
            remedy=f"stop that process, or set {setting} to a free port",
        )
    if error.errno == errno.EACCES:
        return NodeError(
            f"port {port} on {host} is not allowed for this user",
            cause=error.strerror,
            remedy=f"set {setting} to 1024 or more",
        )
    return NodeError(
        f"cannot listen on port {port} of {host}", cause=error.strerror, remedy="set `host` in [node]"
    )


def _holder(port: int) -> tuple[int, str] | None:
    """The process that listens on `port`, if /proc shows it to us: its id and name."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in (entry for entry in os.listdir("/proc") if entry.isdigit()):
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
            if any(os.readlink(f"/proc/{pid}/fd/{fd}") in wanted for fd in descriptors):
                with open(f"/proc/{pid}/comm") as name:
                    return int(pid), name.read().strip()
        except OSError:
            continue  # it ended, or belongs to another user
    return None


def _listening_inodes(port: int) -> Iterable[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:
                rows = [line.split() for line in lines][1:]
        except OSError:
            continue  # a kernel without IPv6
        yield from (row[9] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port)
