"""`wasmind demo`: prepares the classifier, serves it, classifies photos, measures, and stays up."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from wasmind import config as settings
from wasmind.catalog.storage.fetch import Silent
from wasmind.demo.client import Answer, Connection, Sustained, sustain
from wasmind.demo.languages import NAMES, variants
from wasmind.demo.prepare import MODULE, Prepared, photos, prepare
from wasmind.demo.screen import Screen, Steps
from wasmind.errors import NodeError, PackageMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.config import Config
    from wasmind.demo.languages import Variant
    from wasmind.guest_api.program import Compiled
    from wasmind.node.models import ServedModel
    from wasmind.node.state import StateDir
    from wasmind.node.status import NodeStatus
    from wasmind.telemetry.logs import Logger

HOST = "127.0.0.1"
ROUTE = "/classify"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    directory: Path = Path(".wasmind/demo")
    photos: tuple[Path, ...] = ()
    """Photos of the user's own; none: those of scikit-image."""
    port: int | None = None
    """None: 8080, or a free port when that is taken."""
    api_port: int | None = None
    seconds: float = 3.0
    """How long to ask as fast as the node answers."""
    once: bool = False
    as_json: bool = False
    languages: tuple[str, ...] | None = None
    """Languages beside C that the function is shown in; None: those that can be had at once."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as it is sent."""

    name: str
    rgb: bytes


def run(options: Options) -> int:
    """The whole demo; returns the exit code. Raises WasmindErrors."""
    steps = Steps()
    directory = options.directory.absolute()
    with steps.shown():
        try:
            prepared = prepare(directory, steps.step)
            steps.step("Converting photos")
            converted = _convert(options.photos or photos())
            sample = directory / f"{Path(converted[0].name).stem}.rgb"
            sample.write_bytes(converted[0].rgb)
            steps.done()
            others = variants(directory, prepared.labels, options.languages, steps)
            steps.done()
            port = _free_port(8080, options.port, steps)
            api_port = _free_port(8090, options.api_port, steps)
            config = configuration(directory, prepared, port, api_port, others)
        except OSError as error:
            raise NodeError(
                f"the demo cannot be prepared in {directory}",
                cause=str(error),
                remedy="choose another directory with --dir",
            ) from error
        _Demo(options, config, converted, sample, steps, others).serve()
    return 0


def configuration(
    directory: Path, prepared: Prepared, port: int, api_port: int, others: Sequence[Variant] = ()
) -> Config:
    """The node's configuration, as it is also written to `directory` for `wasmind serve -c`."""
    cores = len(os.sched_getaffinity(0))
    text = f"""\
[node]
dev = true # answers say where the time went
state = "state"
log_level = "error"
ports = {{ functions = {port}, api = {api_port} }}

[models.classifier]
path = {_quoted(prepared.model)}
labels = {_quoted(prepared.labels)}
description = "EfficientNet-Lite0: photos to the 1000 classes of ImageNet"
instances = {cores}

[functions.classify]
module = {_quoted(MODULE)}
route = "{ROUTE}"
models = ["classifier"]
limits = {{ cpu_ms = 50, memory = "16MiB" }}
"""
    for other in others:
        text += f"""
[functions.{other.name}]
module = {_quoted(other.module)}
route = "/{other.name}"
models = ["classifier"]
limits = {{ cpu_ms = 500 }}
"""
    path = directory / "wasmind.toml"
    path.write_text(text)
    return settings.load(path)


def _quoted(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()  # a JSON string is a TOML one


def _convert(found: Sequence[Path]) -> list[Photo]:
    try:
        from wasmind.demo.photo import to_rgb
    except ImportError as error:
        raise PackageMissing(
            "the package pillow is not installed", cause=str(error), remedy="pip install 'wasmind[demo]'"
        ) from error
    try:
        return [Photo(path.name, to_rgb(path)) for path in found]
    except OSError as error:
        raise NodeError(
            "a photo cannot be read", cause=str(error), remedy="name a PNG or JPEG file"
        ) from error


def _free_port(usual: int, chosen: int | None, steps: Steps) -> int:
    """The port to serve on: the chosen one, else the usual one, else 0 for any that is free."""
    from wasmind.node.listen import listen

    if chosen is not None:
        return chosen
    try:
        for listener in listen(HOST, usual, "--port"):
            listener.close()
    except NodeError as error:
        steps.say(f"{error.message}{f' ({error.cause})' if error.cause else ''}: taking a free one")
        return 0
    return usual


class _Demo:
    """A node with the demo's function, and what is asked of it."""

    def __init__(
        self,
        options: Options,
        config: Config,
        converted: list[Photo],
        sample: Path,
        steps: Steps,
        others: Sequence[Variant],
    ) -> None:
        self._options, self._config, self._steps, self._others = options, config, steps, others
        self._photos, self._sample = converted, sample

    def serve(self) -> None:
        """Serve until all is shown (`once`) or somebody ends it."""
        import uvloop

        from wasmind.node.state import StateDir
        from wasmind.telemetry import logs

        node = self._config.node
        logger = logs.configure(node.log, node.log_level, process="node")
        state = StateDir.take(node.state)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(state, logger))
        finally:
            state.release()

    async def _serve(self, state: StateDir, logger: Logger) -> None:
        from wasmind.node.client import ask_async
        from wasmind.node.supervisor import Supervisor

        arrival = _Arrival(self._steps)
        supervisor = Supervisor(lambda: self._config, None, state, logger, arrival)
        serving = asyncio.create_task(supervisor.run())
        showing = asyncio.create_task(self._show(arrival))
        try:
            await asyncio.wait([serving, showing], return_when=asyncio.FIRST_COMPLETED)
            if showing.done():
                showing.result()
                if not self._options.once:
                    await serving
        except (OSError, EOFError):
            if supervisor.status().phase != "draining":  # it was told to end, and connections end with it
                raise
        finally:
            showing.cancel()
            if not serving.done():
                await ask_async(state.path, "stop", timeout=60)
            await serving

    async def _show(self, arrival: _Arrival) -> None:
        node = await arrival.ready_node
        if node.problems:
            raise NodeError("the demo's node is not ready", cause="; ".join(node.problems))
        url = urlsplit(node.functions_url)
        host, port = url.hostname or HOST, url.port or 80
        screen, shown = Screen(), []
        async with Connection(host, port) as connection:
            await connection.post(ROUTE, self._photos[0].rgb)  # the first one finds cold caches
            for photo in self._photos:
                answer = await connection.post(ROUTE, photo.rgb)
                classes = answer.json()["classes"]
                shown.append(_as_dict(photo, classes, answer))
                if not self._options.as_json:
                    screen.answer(photo.name, classes, answer)
            compared = await self._compare(connection, screen)
        seconds = self._options.seconds
        self._steps.step(f"Asking as fast as it answers, for {seconds:g} s")
        bodies = [photo.rgb for photo in self._photos]
        connections = 4 * self._config.models["classifier"].instances
        load = await sustain(host, port, ROUTE, bodies, connections=connections, seconds=seconds)
        self._steps.done()
        self._tell(screen, node.functions_url + ROUTE, node.api_url, shown, compared, load)

    async def _compare(self, connection: Connection, screen: Screen) -> list[dict[str, Any]]:
        """One photo by the function in each language."""
        photo, rows, found = self._photos[0], [], []
        for name, language in (
            ("classify", "C"),
            *((each.name, NAMES[each.language]) for each in self._others),
        ):
            await connection.post(f"/{name}", photo.rgb)  # the first one finds cold caches
            answer = await connection.post(f"/{name}", photo.rgb)
            classes = answer.json()["classes"]
            rows.append(
                (language, self._config.functions[name].module.stat().st_size, answer, classes[0]["label"])
            )
            found.append({"language": language, "route": f"/{name}", **_as_dict(photo, classes, answer)})
        if self._others and not self._options.as_json:
            screen.languages(photo.name, rows)
        return found

    def _tell(
        self,
        screen: Screen,
        url: str,
        api: str,
        shown: list[dict[str, Any]],
        compared: list[dict[str, Any]],
        load: Sustained,
    ) -> None:
        if self._options.as_json:
            measured = asdict(load) | {"per_second": load.per_second}
            document = {"url": url, "api": api, "photos": shown, "languages": compared, "load": measured}
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
            sys.stdout.flush()
            return
        screen.sustained(load)
        if not self._options.once:
            python, sample = shlex.quote(sys.executable), shlex.quote(str(self._sample))
            convert = f"{python} -m wasmind.demo.photo PHOTO | curl --data-binary @- {url}"
            screen.invitation(f"curl --data-binary @{sample} {url}", convert, f"{api}/docs")


class _Arrival(Silent):
    """Watches the node come up, as node.progress.Progress."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.ready_node: asyncio.Future[NodeStatus] = asyncio.get_running_loop().create_future()

    def begin(self, functions: Sequence[str], models: Sequence[str]) -> None:
        self._steps.step(
            f"Compiling {'the function' if len(functions) == 1 else f'{len(functions)} functions'}, "
            "loading the model into a confined process"
        )

    def function(self, name: str, compiled: Compiled) -> None:
        """One function, one model: there is no more to tell than when both are there."""

    def model(self, model: ServedModel) -> None:
        """See `function`."""

    def end(self) -> None:
        self._steps.done()

    def ready(self, status: NodeStatus) -> None:
        if not self.ready_node.done():
            self.ready_node.set_result(status)


def _as_dict(photo: Photo, classes: list[dict[str, Any]], answer: Answer) -> dict[str, Any]:
    return {"photo": photo.name, "classes": classes, "ms": answer.took_ms, "timing_ms": answer.timing}
