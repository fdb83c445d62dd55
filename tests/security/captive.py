"""A worker that was taken over: confined as every worker, it then tries what an attacker would.

Run as a program with the paths of a model and of a file that is not its own, a runtime with an encoding, and
`load` or `serve`; with `device` as one more word it has /dev/zero, as another has a GPU. Prints one JSON
object: for each attempt the errno's name, or "done" if nothing stopped it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import fcntl
import json
import mmap
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DEVICE, DRM = "/dev/zero", 0x6400
libc = ctypes.CDLL(None, use_errno=True)
X86 = {
    "ptrace": 101,
    "process_vm_readv": 310,
    "pidfd_open": 434,
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "bpf": 321,
    "unshare": 272,
    "userfaultfd": 323,
    "perf_event_open": 298,
    "keyctl": 250,
    "add_key": 248,
    "memfd_create": 319,
    "personality": 135,
    "mount": 165,
    "chroot": 161,
    "setns": 308,
    "execveat": 322,
    "clone3": 435,
    "fork": 57,
    "vfork": 58,
    "shmget": 29,
    "mq_open": 240,
    "kexec_load": 246,
    "init_module": 175,
    "open_by_handle_at": 304,
    "name_to_handle_at": 303,
    "rt_sigqueueinfo": 129,
    "tkill": 200,
    "setpriority": 141,
    "sched_setaffinity": 203,
    "seccomp_notify": 317,
    "socket": 41,
    "kcmp": 312,
}


def call(name: str, *arguments: Any) -> None:
    ctypes.set_errno(0)
    if libc.syscall(X86[name], *arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def in_libc(name: str, *arguments: Any) -> None:
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def opened(path: str, mode: str = "rb") -> None:
    with open(path, mode) as file:
        if "r" in mode:
            file.read(1)


def executable_page() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def page_made_executable() -> None:
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    in_libc("mprotect", ctypes.c_void_p(address), 4096, 5)


def new_thread() -> None:
    threading.Thread(target=len, args=("",)).start()


def attempts(model: str, secret: str, parent: int) -> dict[str, Callable[[], Any]]:
    directory = os.path.dirname(model)
    others: dict[str, Callable[[], Any]] = {
        "read /etc/passwd": lambda: opened("/etc/passwd"),
        "read a file beside the model": lambda: opened(secret),
        "read its parent's memory": lambda: opened(f"/proc/{parent}/mem", "rb"),
        "read its parent's environment": lambda: opened(f"/proc/{parent}/environ", "rb"),
        "read its own environment": lambda: opened("/proc/self/environ", "rb"),
        "list the model's directory": lambda: os.listdir(directory),
        "list the root": lambda: os.listdir("/"),
        "write to the model": lambda: opened(model, "ab"),
        "make a file": lambda: opened(os.path.join(directory, "new"), "wb"),
        "make a link": lambda: os.symlink("/etc", os.path.join(directory, "link")),
        "remove the model": lambda: os.unlink(model),
        "rename the model": lambda: os.rename(model, model + "x"),
        "change the model's mode": lambda: os.chmod(model, 0o777),
        "open an INET socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "open a UDP socket": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
        "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "make a socket pair": socket.socketpair,
        "fork": os.fork,
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "signal its parent": lambda: os.kill(parent, signal.SIGTERM),
        "signal everyone": lambda: os.kill(-1, signal.SIGTERM),
        "signal its parent's thread": lambda: in_libc("tgkill", parent, parent, signal.SIGTERM),
        "have the kernel signal its parent": lambda: in_libc("fcntl", 2, 8, parent),
        "choose the signal for that": lambda: in_libc("fcntl", 2, 10, signal.SIGKILL),
        "change its parent's limits": lambda: in_libc(
            "prlimit", parent, 7, ctypes.create_string_buffer(16), None
        ),
        "be debugged by none, debug its parent": lambda: call("ptrace", 16, parent, 0, 0),
        "make executable memory": executable_page,
        "make memory executable": page_made_executable,
        "load a library": lambda: ctypes.CDLL("libanl.so.1"),
        "drop no_new_privs": lambda: in_libc("prctl", 38, 0, 0, 0, 0),
        "become dumpable": lambda: in_libc("prctl", 4, 1, 0, 0, 0),
        "outlive its parent": lambda: in_libc("prctl", 1, 0, 0, 0, 0),
        "become another user": lambda: os.setuid(12345),
    }
    with_zeros = set(X86) - {
        "ptrace",
        "pidfd_send_signal",
        "setpriority",
        "sched_setaffinity",
        "tkill",
        "kcmp",
    }
    for name in sorted(with_zeros - {"seccomp_notify"}):
        others[f"call {name}"] = lambda name=name: call(name, 0, 0, 0, 0, 0, 0)
    others["call pidfd_open"] = lambda: call("pidfd_open", parent, 0)
    others["call setpriority"] = lambda: call("setpriority", 0, parent, 5)
    others["call sched_setaffinity"] = lambda: call("sched_setaffinity", parent, 8, b"\1" + bytes(7))
    others["call tkill"] = lambda: call("tkill", parent, 15)
    return others


def serving_only(model: str) -> dict[str, Callable[[], Any]]:
    return {
        "make a thread": new_thread,
        "open the model again": lambda: opened(model, "rb"),
        "open any file": lambda: opened("/dev/null", "rb"),
        "put a listener on its calls": lambda: call("seccomp_notify", 1, 8, 0),
    }


def driven(path: str, request: int, mode: int = os.O_RDWR) -> None:
    fd = os.open(path, mode)
    try:
        fcntl.ioctl(fd, request, bytes(8))
    finally:
        os.close(fd)


def with_a_device() -> dict[str, Callable[[], Any]]:
    return {
        "drive its device": lambda: driven(DEVICE, DRM),
        "drive another device": lambda: driven("/dev/full", DRM),
        "drive what it may only read": lambda: driven("/dev/null", DRM, os.O_RDONLY),
        "write to what it may only read": lambda: opened("/dev/null", "ab"),
        "own what is on a descriptor, to be signalled": lambda: fcntl.ioctl(0, 0x8901, bytes(8)),
        "type into a terminal": lambda: fcntl.ioctl(0, 0x5412, b"x"),
        "list network interfaces": lambda: fcntl.ioctl(0, 0x8912, bytes(16)),
        "call kcmp": lambda: call("kcmp", os.getppid(), os.getpid(), 0, 0, 0),
    }


def outcome(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except RuntimeError as error:
        return str(error)
    return "done"


def main() -> None:
    model, secret, runtime, encoding, phase, *device = sys.argv[1:]
    parent = os.getppid()
    from wasmind.catalog.files import ModelFile
    from wasmind.config import Device
    from wasmind.worker import confine
    from wasmind.worker.spec import WorkerSpec

    spec = WorkerSpec(
        name="m",
        files=(ModelFile(model, "model"),),
        encoding=encoding,
        runtime=runtime,
        device=Device(nodes=[DEVICE]) if device else None,
    )
    held = confine.begin(spec)
    from wasmind.worker.runtimes.base import framework

    profile = framework(runtime, encoding).profile
    if device:
        profile = profile.with_device()
    confine.before_load(spec, held, profile)
    tries = attempts(model, secret, parent)
    tries |= with_a_device()
    if phase == "serve":
        confine.before_serve(held, profile)
        tries |= serving_only(model)
    found = {name: outcome(attempt) for name, attempt in tries.items()}
    found["read the model"] = outcome(lambda: opened(model, "rb"))
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()


main()
