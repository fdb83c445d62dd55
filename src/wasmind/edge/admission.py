"""How many requests may run at once: of one function (429), and in this worker (503)."""

from __future__ import annotations

from wasmind.errors import FunctionBusy, Overloaded


class Slots:
    """A count with a limit."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0


class Admission:
    """Lets a request in or refuses it at once: nothing queues, for a client that is told can go elsewhere."""

    __slots__ = ("alone", "node")

    def __init__(self, limit: int) -> None:
        """`limit` is the number of requests at once in this worker."""
        self.node = Slots(limit)
        self.alone = 0
        """How many requests in a row have begun while no other one was under way."""

    def enter(self, function: Slots, name: str) -> None:
        """Take a place of both counts. Raises FunctionBusy, Overloaded; then nothing is taken."""
        node = self.node
        if function.taken >= function.limit:
            raise FunctionBusy(
                f"the function {name!r} already serves {function.limit} requests here",
                remedy="try again later, or raise the function's limits.concurrency",
            )
        if node.taken >= node.limit:
            raise Overloaded(
                f"this worker already serves {node.limit} requests",
                remedy="try again later, or raise node.concurrency",
            )
        self.alone = 0 if node.taken else self.alone + 1
        function.taken += 1
        node.taken += 1

    def leave(self, function: Slots) -> None:
        """Give both places back."""
        function.taken -= 1
        self.node.taken -= 1
