"""The model worker process: `python -m wasmind.worker CONTROL_FD LISTENER_FD`.

It inherits two sockets. On the control socket comes the specification, and the report goes back: either what
the model is, or why it cannot be served. On the listening socket edge workers connect. The order of what
happens here is the confinement's, which `confine` explains.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import msgspec

from wasmind.errors import ModelLoadFailed, UnsupportedOperation, WasmindError
from wasmind.nn.explain import explained, is_of_memory
from wasmind.worker import confine
from wasmind.worker.spec import LoadFailed, Ready, Report, WorkerSpec

if TYPE_CHECKING:
    from wasmind.nn.signature import Signature
    from wasmind.worker.call import Company
    from wasmind.worker.runtimes.base import Framework, LoadedModel
    from wasmind.worker.runtimes.devices import Opened
    from wasmind.worker.server import Server
    from wasmind.worker.spec import Confinement

FAILED_TO_LOAD = 3
"""The exit status after a `LoadFailed` report."""

_WORDS = 16 << 10
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(arguments: list[str]) -> int:
    """Run a worker. Returns the exit status."""
    control, listener = (socket.socket(fileno=int(text)) for text in arguments)
    # Ctrl-C in a terminal, and a service manager's signal to a whole group, are the parent's to handle: it
    # lets calls under way end first. When it is gone, the kernel ends this process.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spec = _receive_spec(control)
    try:
        server, ready = _prepare(spec, control, listener)
    except Exception as error:  # noqa: BLE001 - whatever a framework raises while it loads is the report
        _send(control, _failure(spec, error))
        return FAILED_TO_LOAD
    _send(control, ready)
    server.serve()
    return 0


def _prepare(spec: WorkerSpec, control: socket.socket, listener: socket.socket) -> tuple[Server, Ready]:
    memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    held = confine.begin(spec)

    from wasmind.worker.runtimes.base import framework, offered

    runtime = framework(spec.runtime, spec.encoding)
    offer = offered(spec.runtime)
    if offer is not None and spec.memory < (floor := offer.floor):
        raise ModelLoadFailed(
            f"memory = {spec.memory} is less than {runtime.name} takes without any model",
            remedy=f"give the model at least {floor >> 20} MiB",
        )
    from wasmind.worker.batcher import Batcher, Line, Queue
    from wasmind.worker.call import Call, company
    from wasmind.worker.generations import Generations, Turns
    from wasmind.worker.inference import Runner
    from wasmind.worker.runtimes.devices import opened
    from wasmind.worker.server import Server
    from wasmind.worker.shapes import Shapes
    from wasmind.worker.stepping import stepping
    from wasmind.worker.warm import measure, probe_batching, warm_up
    from wasmind.worker.wire import MAX_TENSORS

    if spec.conversions is not None:
        from wasmind.worker.conversions.load import converting, import_packages

        import_packages(spec.conversions)
    began = time.monotonic()
    model, on = _load(runtime, opened(runtime, spec), held)
    spec, notes = on.spec, [*on.notes, *model.notes]
    loaded = time.monotonic()
    signature = model.signature
    if max(len(signature.inputs), len(signature.outputs)) > MAX_TENSORS:
        raise ModelLoadFailed(f"the model has more than {MAX_TENSORS} inputs or outputs")
    executions = [model.execution() for _ in range(spec.instances)]
    seen: Signature = signature
    joins: Company = company
    generations: Generations | None = None
    if signature.steps:
        runners, generations = stepping(executions, signature, spec)
    elif spec.conversions is None:
        shapes = Shapes(signature)
        runners = [Runner(execution, signature, shapes) for execution in executions]
    else:
        runners, seen, joins = converting(spec.conversions, signature, executions)
    run_ms = None
    if spec.warm_up:
        for runner in runners:
            why = warm_up(runner.execution, signature)
        notes += [why] if why else []
        run_ms = None if why else measure(runners[0].execution, signature)
    largest = spec.batch
    if largest > 1:
        why = probe_batching(runners[0].execution, signature)
        if why:
            largest = 1
            notes.append(why)
    queue: Queue[Call] = Line() if largest == 1 else Batcher(largest, int(spec.batch_delay_ms * 1e6))
    server = Server(
        listener,
        control,
        runners,
        queue if generations is None else Turns(generations),
        largest=largest,
        run_limit_ms=spec.run_limit_ms,
        company=joins,
        generations=generations,
    )
    server.prepare()
    confine.before_serve(held, on.profile(runtime))
    gc.collect()
    gc.freeze()
    ready = Ready(
        signature=seen,
        runtime=f"{runtime.name} on {on.device}" if on.device else runtime.name,
        load_ms=(loaded - began) * 1e3,
        warm_up_ms=(time.monotonic() - loaded) * 1e3,
        run_ms=run_ms,
        memory=int(os.pread(memory, 256, 0).split()[1]) * _PAGE,
        batch=largest,
        confinement=held,
        notes=tuple(note[:2000] for note in notes),
    )
    return server, ready


def _load(runtime: Framework, on: Opened, held: Confinement) -> tuple[LoadedModel, Opened]:
    """Confine the process to the model and what it runs on, and load it; where the device cannot compute it
    and the operator allows the CPU, confine it to that.
    """
    from wasmind.worker.runtimes.devices import on_cpu

    confine.before_load(on.spec, held, on.profile(runtime))
    try:
        return runtime.load(on.spec), on
    except UnsupportedOperation as error:
        on = on_cpu(on.spec, error)
    confine.before_load(on.spec, held, on.profile(runtime))
    return runtime.load(on.spec), on


def _failure(spec: WorkerSpec, error: Exception) -> LoadFailed:
    if isinstance(error, WasmindError):
        return LoadFailed(code=error.code, message=error.message, cause=error.cause, remedy=error.remedy)
    words = (str(error) or type(error).__name__)[:_WORDS]
    if isinstance(error, MemoryError) or is_of_memory(words):
        return LoadFailed(
            code=ModelLoadFailed.code,
            message=f"the model {spec.name!r} needs more memory to load than its {spec.memory >> 20} MiB",
            cause=words,
            remedy="raise the model's `memory`",
        )
    told = explained(words, ModelLoadFailed)
    return LoadFailed(code=told.code, message=told.message, cause=told.cause, remedy=told.remedy)


def _receive_spec(control: socket.socket) -> WorkerSpec:
    with control.makefile("rb") as stream:
        length = int.from_bytes(stream.read(4), "little")
        return msgspec.msgpack.decode(stream.read(length), type=WorkerSpec)


def _send(control: socket.socket, report: Report) -> None:
    body = msgspec.msgpack.encode(report)
    control.setblocking(True)
    control.sendall(len(body).to_bytes(4, "little") + body)
