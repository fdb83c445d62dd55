"""What a platform without files and sockets answers to the functions for them: what wasmtime answers for
stdio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.guest_api.wasi.errno import BADF, NOTDIR, NOTSOCK, NOTSUP, SPIPE
from wasmind.sandbox import Interface
from wasmind.sandbox.values import scalar

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmind.guest_api.host import CommandHost
    from wasmind.sandbox import Guest

_FILES = {
    "fd_advise": "U32 U64 U64 U32",
    "fd_allocate": "U32 U64 U64",
    "fd_datasync": "U32",
    "fd_fdstat_set_flags": "U32 U32",
    "fd_fdstat_set_rights": "U32 U64 U64",
    "fd_filestat_set_size": "U32 U64",
    "fd_filestat_set_times": "U32 U64 U64 U32",
    "fd_prestat_get": "U32 U32",
    "fd_readdir": "U32 U32 U32 U64 U32",
    "fd_sync": "U32",
    "path_create_directory": "U32 U32 U32",
    "path_filestat_get": "U32 U32 U32 U32 U32",
    "path_filestat_set_times": "U32 U32 U32 U32 U64 U64 U32",
    "path_link": "U32 U32 U32 U32 U32 U32 U32",
    "path_open": "U32 U32 U32 U32 U32 U64 U64 U32 U32",
    "path_readlink": "U32 U32 U32 U32 U32 U32",
    "path_remove_directory": "U32 U32 U32",
    "path_rename": "U32 U32 U32 U32 U32 U32",
    "path_symlink": "U32 U32 U32 U32 U32",
    "path_unlink_file": "U32 U32 U32",
}
"""Functions of files and directories: no descriptor is one."""

_SEEKING = {
    "fd_pread": "U32 U32 U32 U64 U32",
    "fd_pwrite": "U32 U32 U32 U64 U32",
    "fd_seek": "U32 S64 U32 U32",
    "fd_tell": "U32 U32",
}
"""Functions of what has positions: a stream has none."""

_SOCKETS = {
    "sock_accept": "U32 U32 U32",
    "sock_recv": "U32 U32 U32 U32 U32 U32",
    "sock_send": "U32 U32 U32 U32 U32",
    "sock_shutdown": "U32 U32",
}


def declare(wasi: Interface) -> None:
    """Add these functions to an interface."""
    for functions, opened in (
        (_FILES, BADF),
        (_SEEKING, SPIPE),
        (_SOCKETS, NOTSOCK),
        ({"fd_prestat_dir_name": "U32 U32 U32"}, NOTDIR),
    ):
        for name, parameters in functions.items():
            _define(wasi, name, parameters, _refusing(opened))
    _define(wasi, "proc_raise", "U32", lambda _guest, _signal: NOTSUP)


def _define(wasi: Interface, name: str, parameters: str, function: Callable[..., int]) -> None:
    scalars = tuple(found for text in parameters.split() if (found := scalar(text)))
    wasi.define(name, function, scalars, scalar("U32"))


def _refusing(opened: int) -> Callable[..., int]:
    """Make a function that answers `opened` for an open descriptor, and BADF for any other."""

    def refused(guest: Guest[CommandHost], fd: int, *_rest: int) -> int:
        return opened if guest.host.wasi.is_open(fd) else BADF

    return refused
