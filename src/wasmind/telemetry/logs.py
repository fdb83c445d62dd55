"""Logs: one record per line on stderr, for people or as JSON.

Every text in a record is escaped, whoever wrote it, so no record can forge another or drive a terminal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import structlog

from wasmind.errors import WasmindError
from wasmind.telemetry.escape import escape, escape_json

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

Logger: TypeAlias = structlog.typing.FilteringBoundLogger
Format: TypeAlias = Literal["console", "json"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_MARKS = {"debug": "·", "info": " ", "warning": "!", "error": "✗", "critical": "✗"}
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_RESET = "\x1b[0m"


class LineWriter:
    """Writes whole lines to a descriptor, one system call each, so lines of several processes do not mix."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def msg(self, line: str) -> None:
        """Write `line` and a line end. A log that nobody reads any more is no reason to fail."""
        data = (line + "\n").encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except (BrokenPipeError, BlockingIOError):
            return

    debug = info = warning = error = critical = msg


def configure(form: Format = "console", level: Level = "info", fd: int = 2, **always: object) -> Logger:
    """Set this process up for logging to `fd` and return its logger; `always` is in every record of it."""
    render = _as_json if form == "json" else _Console(colours=os.isatty(fd) and "NO_COLOR" not in os.environ)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if form == "json" else "%H:%M:%S", utc=form == "json"),
            _escaped,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: LineWriter(fd),
        cache_logger_on_first_use=False,
    )
    logger: Logger = structlog.get_logger(**always)
    return logger


def failure(error: BaseException) -> dict[str, Any]:
    """An error as fields of a record: code, message, cause and remedy if it is one of ours, else its name."""
    if isinstance(error, WasmindError):
        found = error.as_dict()
        found["error"] = found.pop("message")
        return found
    return {"error": f"{type(error).__name__}: {error}"}


def _escaped(_: Any, __: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in record.items():
        if isinstance(value, str):
            record[key] = escape(value)
    return record


def _as_json(_: Any, __: str, record: Mapping[str, Any]) -> str:
    return escape_json(msgspec.json.encode(record, enc_hook=str).decode())


class _Console:
    """`12:00:01   node: model ready  model=digits`; error, cause and remedy stand on lines of their own."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _: Any, __: str, record: MutableMapping[str, Any]) -> str:
        level, process = record.pop("level", "info"), record.pop("process", "")
        head = f"{record.pop('timestamp', '')} {_MARKS[level]} "
        event = str(record.pop("event", ""))
        below = [
            f"\n           {key}: {record.pop(key)}"
            for key in ("error", "cause", "remedy")
            if record.get(key)
        ]
        pairs = " ".join(f"{key}={self._value(value)}" for key, value in record.items() if value is not None)
        line = (
            f"{head}{process + ': ' if process else ''}{event}{'  ' + pairs if pairs else ''}{''.join(below)}"
        )
        colour = _COLOURS.get(level) if self._colours else None
        return f"{colour}{line}{_RESET}" if colour else line

    @staticmethod
    def _value(value: object) -> str:
        text = f"{value:.4g}" if isinstance(value, float) else escape(str(value))
        return f'"{text}"' if " " in text else text
