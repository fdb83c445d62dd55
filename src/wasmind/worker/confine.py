"""What holds a model worker: the kernel's own means, which need no privilege.

A framework is native code that parses hostile files, so the worker gives up what it can before it reads one.
`begin` comes before the framework is imported, while there is one thread (Landlock binds the calling thread
and those it makes later): no new privileges, resource limits, and files readable only where libraries live.
`before_load` comes when everything is imported: from then on only the model's own files can be opened, and a
system call that is not listed is refused. `before_serve` comes when the model is loaded: no file can be
opened and no thread be made any more.

A model for a GPU or a TPU has, in the first two stages, the device files and the driver's files that the
configuration names, and the system calls of a driver. Nothing of that is there for any other model.

A refused call fails with EPERM instead of killing the process, since libraries try calls they can do without.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import sys
import sysconfig
from typing import TYPE_CHECKING

from landlock import FSAccess, LandlockError, landlock_abi_version
from landlock.plumbing import (
    PathBeneathAttr,
    RulesetAttr,
    get_add_rule,
    get_create_ruleset,
    get_libc,
    get_restrict_self,
)

from wasmind.errors import ModelLoadFailed
from wasmind.worker.spec import Confinement
from wasmind.worker.syscalls import allow_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmind.config import Device
    from wasmind.worker.spec import WorkerSpec
    from wasmind.worker.syscalls import Profile

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_NET_BIND_CONNECT, _SCOPE_ABSTRACT_SIGNAL = 0b11, 0b11
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store", "/etc/ld.so.cache")
_DRIVE = FSAccess.READ_FILE | FSAccess.WRITE_FILE | FSAccess.IOCTL_DEV
_HARDWARE = ("/sys/devices", "/sys/bus/pci", "/sys/class")
_HARMLESS = ("/sys/devices/system/cpu", "/proc/cpuinfo", "/proc/self/cmdline", "/dev/null", "/dev/urandom")


def probe() -> Confinement:
    """What this machine offers. Starts short-lived processes (the seccomp binding looks its library up)."""
    notes = []
    try:
        abi = landlock_abi_version()
    except (LandlockError, OSError) as error:
        abi = 0
        notes.append(f"no Landlock ({_words(error)}): a model could read any file its user can")
    try:
        import pyseccomp

        found = os.path.exists("/proc/sys/kernel/seccomp/actions_avail") and bool(pyseccomp.system_arch())
        why = "the kernel was built without it"
    except (ImportError, RuntimeError, OSError) as error:
        found, why = False, str(error)
    if not found:
        notes.append(f"no seccomp ({why}): a broken framework could use any system call")
    return Confinement(landlock=abi, seccomp=found, notes=tuple(notes))


def begin(spec: WorkerSpec) -> Confinement:
    """The first stage. Raises ModelLoadFailed where the machine offers too little for `spec.confinement`."""
    offered = probe()
    if not offered.complete and spec.confinement == "required":
        raise ModelLoadFailed(
            "the model's process cannot be confined on this machine",
            cause="; ".join(offered.notes),
            remedy="use a kernel with Landlock and seccomp, and install libseccomp; or allow it to run "
            'unconfined with confinement = "best-effort"',
        )
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_DUMPABLE, 0)
    _limit_resources(spec.memory, files=0 if spec.device is None else spec.memory)
    if offered.landlock:
        _allow_files(
            [*_code_paths(), *_HARDWARE, *_HARMLESS, *(file.path for file in spec.files)],
            spec.device,
            offered.landlock,
        )
    return offered


def before_load(spec: WorkerSpec, held: Confinement, profile: Profile) -> None:
    """The second stage: only the model's files (and the runtime's, and the device's), only listed calls."""
    if held.landlock:
        _allow_files(
            [*_HARMLESS, *profile.files, *(file.path for file in spec.files)], spec.device, held.landlock
        )
    if held.seccomp:
        allow_calls(profile, loading=True)


def before_serve(held: Confinement, profile: Profile) -> None:
    """The third stage: no file is opened from here on, and only what a profile says made: threads, code."""
    if held.seccomp:
        allow_calls(profile, loading=False)


# --- resources ------------------------------------------------------------------------------------------


def _limit_resources(memory: int, files: int = 0) -> None:
    """`files`: bytes of a file; where no file can be made, a driver may have one without a name."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: files,
        resource.RLIMIT_NOFILE: 512,
        resource.RLIMIT_DATA: memory,
    }
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))


def _prctl(option: int, value: int) -> None:
    if get_libc().prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


# --- files: Landlock ------------------------------------------------------------------------------------


class _Attr(RulesetAttr):  # type: ignore[misc]  # the binding has no types
    """The binding's attributes, and those of ABI 4 (TCP) and ABI 6 (abstract sockets, signals)."""

    _fields_ = [("handled_access_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


def _allow_files(paths: Iterable[str], device: Device | None, abi: int) -> None:
    """From now on nothing can be opened but these and what lies beneath them: to read, and a device's nodes
    to write too.
    """
    attr = _Attr(
        int(FSAccess.all()), _NET_BIND_CONNECT if abi >= 4 else 0, _SCOPE_ABSTRACT_SIGNAL if abi >= 6 else 0
    )
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ctypes.set_errno(0)  # the binding takes a stale one for its own
    ruleset = get_create_ruleset()(ctypes.byref(attr), size, 0)
    try:
        for path in (*paths, *(device.read if device else ())):
            _add_rule(ruleset, path, FSAccess.READ_FILE | FSAccess.READ_DIR)
        for path in device.nodes if device else ():
            _add_rule(ruleset, path, _DRIVE & FSAccess.all())  # of ioctl an older kernel knows nothing
        ctypes.set_errno(0)
        get_restrict_self()(ruleset, 0)
    finally:
        os.close(ruleset)


def _add_rule(ruleset: int, path: str, rights: FSAccess) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there cannot be read either
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= FSAccess.all_file()
        ctypes.set_errno(0)
        get_add_rule()(ruleset, 1, ctypes.byref(PathBeneathAttr(int(rights), fd)), 0)
    finally:
        os.close(fd)


def _code_paths() -> list[str]:
    """Where the interpreter, its packages and the system's libraries lie."""
    found = {path for path in sys.path if path}
    found.update(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    found.update(os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix))
    found.update(path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path)
    return [*sorted(found), *_LIBRARIES]


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
