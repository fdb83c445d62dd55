"""The checks of `wasmind doctor`, each of which looks at one thing a node needs or could use."""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from wasmind.catalog import conversions
from wasmind.catalog.devices import absent
from wasmind.catalog.runtimes import PACKAGES, READERS, installed_version
from wasmind.config.versions import settings_of
from wasmind.errors import NodeError
from wasmind.node.client import ask
from wasmind.node.listen import listen
from wasmind.sandbox.settings import room
from wasmind.worker.confine import probe
from wasmind.worker.runtimes.base import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmind.config import Config, Target

Verdict: TypeAlias = Literal["ok", "info", "warning", "failure"]

DESCRIPTORS = 65_536
"""Open files below which a busy edge worker may run out."""


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was looked at, what was found, and for what is missing: what that costs and what would mend it."""

    name: str
    verdict: Verdict
    found: str
    cost: str | None = None
    remedy: str | None = None


def examine(config: Config) -> list[Check]:
    """All checks, for a node with this configuration."""
    return [
        _python(),
        _wasmtime(),
        *_confinement(),
        _user_namespaces(),
        _cgroups(),
        *_runtimes(config),
        *_devices(config),
        *_conversions(config),
        _cores(config),
        _memory(),
        *_address_space(),
        _descriptors(),
        _shared_memory(),
        *_ports(config),
    ]


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info < (3, 14):
        return Check("python", "failure", found, "guests cannot run", "use CPython 3.11, 3.12 or 3.13")
    shared = "/libpython" in (_read("/proc/self/maps") or "")
    if shared and "--enable-optimizations" not in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        cost = "functions answer about a fifth fewer requests"
        remedy = "use a build that is optimized as a whole, such as Debian's; `make bench` compares"
        return Check("python", "info", f"{found}, a shared library without optimizations", cost, remedy)
    return Check("python", "ok", found)


def _wasmtime() -> Check:
    try:
        machine = f"{platform.system()} {platform.release()}, {platform.machine()}"
        found = f"wasmtime {version('wasmtime')} on {machine}"
        from wasmind.sandbox import Engine  # noqa: F401 - loads the library, as an edge worker would
    except (PackageNotFoundError, ImportError, OSError) as error:
        return Check(
            "wasmtime", "failure", str(error), "guests cannot run", "pip install --force-reinstall wasmind"
        )
    return Check("wasmtime", "ok", found)


def _confinement() -> Iterator[Check]:
    held = probe()
    yield (
        Check("landlock", "ok", f"ABI {held.landlock}: a model's process sees its model's files alone")
        if held.landlock
        else Check(
            "landlock", "failure", "not there", "models are refused: they could read any file", _KERNEL
        )
    )
    yield (
        Check("seccomp", "ok", "a model's process has no network, no exec, no fork")
        if held.seccomp
        else Check(
            "seccomp", "failure", "not there", "models are refused: they could reach the network", _KERNEL
        )
    )
    for note in held.notes:
        yield Check("confinement", "warning", note)


_KERNEL = "run a Linux kernel from 5.13 on with both enabled; containers must not filter their calls"


def _user_namespaces() -> Check:
    most = _read("/proc/sys/user/max_user_namespaces")
    allowed = _read("/proc/sys/kernel/unprivileged_userns_clone") != "0" and most not in (None, "0")
    return Check("user namespaces", "info", "there, not needed" if allowed else "not there, not needed")


def _cgroups() -> Check:
    controllers = _read("/sys/fs/cgroup/cgroup.controllers")
    if controllers is None:
        return Check("cgroups", "info", "version 1: memory of models is limited by rlimits")
    writable = os.access("/sys/fs/cgroup/cgroup.procs", os.W_OK)
    words = f"version 2 with {controllers or 'no controllers'}, {'' if writable else 'not '}writable"
    return Check("cgroups", "info", f"{words}; memory of models is limited by rlimits")


def _runtimes(config: Config) -> Iterator[Check]:
    wanted = {model.runtime for model in config.models.values()}
    found = {name: installed_version(name) for name in RUNTIMES}
    readable = {encoding for name in found if found[name] for encoding in RUNTIMES[name].encodings}
    wanted |= {
        READERS[model.encoding][0]
        for model in config.models.values()
        if model.encoding != "autodetect" and model.encoding not in readable
    }
    for name, offer in RUNTIMES.items():
        encodings = ", ".join(sorted(offer.encodings))
        if found[name]:
            yield Check(
                f"runtime {name}", "ok", f"{PACKAGES[name].distribution} {found[name]}, reads {encodings}"
            )
            continue
        only = sorted(offer.encodings - readable)
        cost = f"no models in {', '.join(only)}" if only else f"others read {encodings}"
        verdict: Verdict = "warning" if name in wanted else "info"
        yield Check(
            f"runtime {name}", verdict, "not installed", cost, f"pip install 'wasmind[{offer.extra}]'"
        )
    if not any(found.values()):
        yield Check("runtimes", "failure", "none", "no model can be served", "pip install 'wasmind[onnx]'")


def _devices(config: Config) -> Iterator[Check]:
    wanting: dict[Target, list[str]] = {"gpu": [], "tpu": []}
    for name, model in config.models.items():
        if model.target != "cpu":
            wanting[model.target].append(name)
    for target, names in wanting.items():
        device, section = config.devices.of(target), f"[devices.{target}]"
        instead = {config.models[name].fallback for name in names}
        cost = f"{', '.join(names)}: {'on the CPU' if instead == {'cpu'} else 'refused'}" if names else None
        verdict: Verdict = "warning" if names else "info"
        if device is None:
            remedy = f"name its files in {section}" if names else None
            yield Check(f"device {target}", verdict, "not configured, so no model has one", cost, remedy)
        elif wrong := list(absent(device)):
            yield Check(f"device {target}", "warning", "; ".join(wrong), cost, f"mend {section}")
        else:
            files = ", ".join((*device.nodes, *device.read)) or "no files"
            used = f"for {', '.join(names)}" if names else "no model has it as its target"
            yield Check(f"device {target}", "ok", f"{files}: there; {used}")


def _conversions(config: Config) -> Iterator[Check]:
    named = {
        kind
        for model in config.models.values()
        for one in settings_of(model).values()
        for kind in conversions.wanted(one)
    }
    for kind, package in conversions.PACKAGES.items():
        try:
            found = f"{package.distribution} {version(package.distribution)}"
        except PackageNotFoundError:
            verdict: Verdict = "failure" if kind in named else "info"
            cost, remedy = f"no `{kind}` conversion of inputs", f"pip install 'wasmind[{kind}]'"
            yield Check(f"conversion {kind}", verdict, "not installed", cost, remedy)
        else:
            yield Check(f"conversion {kind}", "ok", found)


def _cores(config: Config) -> Check:
    cores = len(os.sched_getaffinity(0))
    workers = config.node.workers or cores
    if workers > cores:
        cost = "edge workers take turns on a core: latency grows, throughput does not"
        return Check("cores", "warning", f"{cores} for {workers} edge workers", cost, "lower node.workers")
    return Check("cores", "ok", f"{cores}, for {workers} edge workers and the models' threads")


def _memory() -> Check:
    rows = dict(line.split(":", 1) for line in (_read("/proc/meminfo") or "").splitlines() if ":" in line)
    kilobytes = {name: int(rows[name].split()[0]) for name in ("MemTotal", "MemAvailable") if name in rows}
    if len(kilobytes) < 2:
        return Check("memory", "info", "unknown")
    total, free = (count / (1 << 20) for count in kilobytes.values())
    low = free < 1
    return Check(
        "memory",
        "warning" if low else "ok",
        f"{free:.1f} of {total:.1f} GiB available",
        "a framework takes 50 to 600 MB before its model" if low else None,
    )


def _address_space() -> Iterator[Check]:
    found = room()
    if found.instances:
        yield Check("guest memory", "ok", f"pooled, {found.instances} guests at once in an edge worker")
    for note in found.notes:
        yield Check(
            "guest memory",
            "warning",
            note,
            None if found.instances else "about 10 times slower to start a guest",
            "raise vm.max_map_count" if found.instances else "lift the limit on address space (ulimit -v)",
        )


def _descriptors() -> Check:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    words = (
        "unlimited"
        if hard == resource.RLIM_INFINITY
        else f"{hard} (hard limit, which a node raises itself to)"
    )
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        cost = f"an edge worker holds at most about {hard - 100} connections"
        return Check(
            "open files", "warning", words, cost, "raise it: ulimit -Hn, or LimitNOFILE= of the service"
        )
    return Check("open files", "ok", words)


def _shared_memory() -> Check:
    try:
        os.close(os.memfd_create("wasmind-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    except OSError as error:
        return Check("shared memory", "failure", error.strerror or "refused", "tensors cannot reach models")
    return Check("shared memory", "ok", "sealed anonymous files")


def _ports(config: Config) -> Iterator[Check]:
    node = config.node
    try:
        status = ask(node.state, "status", 5.0)
    except (NodeError, FileNotFoundError):
        status = None
    if status:
        where = f"{status.functions_url} and {status.api_url}"
        yield Check("ports", "ok", f"the node of this configuration serves at {where} (process {status.pid})")
        return
    for purpose, port, setting in (
        ("functions", node.ports.functions, "ports.functions in [node]"),
        ("API", node.ports.api, "ports.api in [node]"),
    ):
        try:
            _free(listen(node.host, port, setting))
            yield Check(f"port {port}", "ok", f"free on {node.host}, for the {purpose}")
        except NodeError as error:
            yield Check(
                f"port {port}", "failure", f"{error.message}: {error.cause}", "no node starts", error.remedy
            )


def _free(listeners: list[socket.socket]) -> None:
    for listener in listeners:
        listener.close()


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
