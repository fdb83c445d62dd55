"""What one request adds to its function's log: the guest's stderr, why calls were refused, how it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wasmind.telemetry.function_log import FunctionLog, LogBudget
from wasmind.telemetry.logs import failure

if TYPE_CHECKING:
    from wasmind.errors import WasmindError
    from wasmind.telemetry.logs import Logger


class Journal(msgspec.Struct):
    """Costs nothing until something is written."""

    _logger: Logger
    _function: str
    _request_id: bytes
    _budget: LogBudget
    log: FunctionLog | None = None

    def write(self, data: bytes) -> None:
        """Take what the guest wrote to stderr."""
        if self.log is None:
            self.log = FunctionLog(self._logger, self._function, self._request_id.decode(), self._budget)
        self.log.write(data)

    def note(self, text: str) -> None:
        """Take one line that explains something to the function's author."""
        if self._budget.take(len(text)):
            self._logger.info(
                text, function=self._function, request_id=self._request_id.decode(), stream="wasmind"
            )

    def failed(self, error: WasmindError, *, started: bool) -> None:
        """Record why the request failed; `started`: its client got a part of the answer already."""
        words = failure(error)
        if self._budget.take(sum(map(len, words.values()))):
            self._logger.warning(
                "request cut" if started else "request failed",
                function=self._function,
                request_id=self._request_id.decode(),
                status=error.status,
                **words,
            )

    def close(self) -> None:
        """To be called once, at the request's end."""
        if self.log is not None:
            self.log.close()
