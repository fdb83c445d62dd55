"""The system calls that a model worker may make: seccomp, default-deny.

A refused call fails with EPERM instead of killing the process, since libraries try calls they can do without.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Profile:
    """What a runtime needs beyond the calls and files that every worker needs."""

    load: frozenset[str] = frozenset()
    serve: frozenset[str] = frozenset()
    executable_memory: bool = False
    """Whether it makes code at run time."""
    threads: bool = False
    """Whether it makes threads while it serves."""
    reads: bool = False
    """Whether it opens files while it serves: its model's, or those that are harmless."""
    files: tuple[str, ...] = ()
    """Its own files that it reads while it loads a model."""
    device: bool = False
    """Whether a driver runs in the process."""

    def with_device(self) -> Profile:
        """The same with a device's driver in the process: it makes code and threads, and more while a model
        is loaded.
        """
        return replace(
            self,
            load=self.load | _DRIVER | _LANDLOCK,
            executable_memory=True,
            threads=True,
            device=True,
        )


_SERVE = frozenset(
    """
    accept4 brk clock_gettime clock_nanosleep close epoll_ctl epoll_pwait epoll_wait exit exit_group fstat
    futex getpid getrandom getsockopt gettid gettimeofday lseek madvise mremap munmap nanosleep newfstatat
    poll ppoll pread64 read readv recvfrom recvmsg restart_syscall rseq rt_sigaction rt_sigprocmask
    rt_sigreturn sched_getaffinity sched_yield sendmsg sendto set_robust_list setitimer sigaltstack write
    writev
    """.split()  # noqa: SIM905 - a list of one name a line would hide what is said
)
"""Among them rseq: a thread that was made before may only now come to its first instructions, and the C
library ends the process if that call is refused.
"""
_LOAD = _SERVE | frozenset(
    """
    access epoll_create1 faccessat faccessat2 getcwd getdents64 getegid geteuid getgid getuid lstat membarrier
    readlink readlinkat set_tid_address stat statx sysinfo uname
    """.split()  # noqa: SIM905 - as above
)
_DRIVER = frozenset(
    """
    eventfd2 ftruncate getrusage memfd_create mincore pipe2 sched_get_priority_max sched_get_priority_min
    sched_getparam sched_getscheduler
    """.split()  # noqa: SIM905 - as above
)
_LANDLOCK = frozenset({"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"})
"""With these a process gives the device up, when the CPU is to compute in its place."""
_IOCTL_FAMILY = 0xFF00
_FAMILIES = {
    0x6400: "DRM: GPUs, and accelerators below /dev/accel",
    0x6200: "buffers that devices share",
    0x3E00: "fences of these",
    0x4600: "NVIDIA's GPUs",
    0x0000: "NVIDIA's unified memory",
    0x4B00: "AMD's compute queues",
    0xDC00: "Gasket: Edge TPUs on PCIe",
    0x7F00: "Apex: the same",
}
"""The kinds of ioctl that drivers make. Those of terminals and sockets are not among them: one of these has
the kernel signal another process.
"""
_PROT_EXEC = 4
_CLONE_THREAD = 0x10000
_FIONBIO = 0x5421
_PR_SET_NAME, _PR_SET_NO_NEW_PRIVS, _PR_SET_VMA = 15, 38, 0x53564D41
# DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC, GET_SEALS. No SETOWN, SETSIG or NOTIFY: with them a
# process has the kernel signal another one.
_FCNTL = (0, 1, 2, 3, 4, 1030, 1034)


def allow_calls(profile: Profile, *, loading: bool) -> None:
    """Refuse, in all threads and for good, each system call that this phase does not need. Raises OSError."""
    import pyseccomp as sc

    rules = sc.SyscallFilter(sc.ERRNO(errno.EPERM))
    rules.set_attr(sc.Attr.CTL_TSYNC, 1)

    def allow(name: str, *conditions: sc.Arg) -> None:
        number = sc.resolve_syscall(sc.Arch.NATIVE, name)
        if number != -1:  # a name that this version of libseccomp does not know stays refused
            rules.add_rule(sc.ALLOW, number, *conditions)

    for name in (_LOAD | profile.load) if loading else (_SERVE | profile.serve):
        allow(name)
    no_code = () if profile.executable_memory else (sc.Arg(2, sc.MASKED_EQ, _PROT_EXEC, 0),)
    allow("mmap", *no_code)
    allow("mprotect", *no_code)
    for command in _FCNTL:
        allow("fcntl", sc.Arg(1, sc.EQ, command))
    allow("ioctl", sc.Arg(1, sc.EQ, _FIONBIO))
    for family in _FAMILIES if profile.device else ():
        allow("ioctl", sc.Arg(1, sc.MASKED_EQ, _IOCTL_FAMILY, family))
    allow("tgkill", sc.Arg(0, sc.EQ, os.getpid()))  # abort()
    allow("prctl", sc.Arg(0, sc.EQ, _PR_SET_VMA))
    if loading or profile.threads:
        allow("clone", sc.Arg(0, sc.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
        # The flags of clone3 lie behind a pointer, where no filter sees them; libraries fall back to clone.
        rules.add_rule(sc.ERRNO(errno.ENOSYS), "clone3")
    if loading or profile.reads:
        # To write is for device files alone, by Landlock.
        access = 0 if profile.device and loading else os.O_ACCMODE
        allow("openat", sc.Arg(2, sc.MASKED_EQ, access | os.O_CREAT | os.O_TRUNC, 0))
    if loading:
        allow("prctl", sc.Arg(0, sc.EQ, _PR_SET_NAME))
        allow("prlimit64", sc.Arg(0, sc.EQ, 0), sc.Arg(2, sc.EQ, 0))
        # The next phase's filter is put on top of this one.
        allow("seccomp")
        allow("prctl", sc.Arg(0, sc.EQ, _PR_SET_NO_NEW_PRIVS), sc.Arg(1, sc.EQ, 1))
    rules.load()
