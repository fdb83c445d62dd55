"""A guest's view of its surroundings: arguments, environment, standard streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wasmind.guest_api.stdio import Sink, Source


class Wasi:
    """What a command is started with. Nothing else of the machine exists for it."""

    __slots__ = ("_environ", "_variables", "arguments", "stderr", "stdin", "stdout")

    def __init__(
        self,
        stdin: Source,
        stdout: Sink,
        stderr: Sink,
        arguments: Sequence[bytes] = (),
        environ: Callable[[], Sequence[bytes]] = tuple,
    ) -> None:
        """`environ` gives `NAME=value` strings; it is called once, and only for a guest that asks."""
        self.stdin: Source | None = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.arguments = arguments
        self._environ = environ
        self._variables: Sequence[bytes] | None = None

    @property
    def environ(self) -> Sequence[bytes]:
        """The environment, as `NAME=value` strings."""
        if self._variables is None:
            self._variables = self._environ()
        return self._variables
