"""Host interfaces: the import modules that guests see, each function declared once from its Python types."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from wasmind.sandbox.binding import bind
from wasmind.sandbox.values import Scalar, Signature, scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(slots=True)
class HostFunction:
    """One function of an interface.

    `suspends`: it may answer with an awaitable; then the guest is suspended until it is done. `finishes`:
    what is awaited gives a function without parameters, which is called on the guest's fiber (so it may call
    back into the guest) and gives the result. A plain function with several results returns a tuple.
    `on_fault`: what a call answers that names memory which the guest does not have; None: the guest traps.
    """

    module: str
    name: str
    function: Callable[..., Any]
    parameters: tuple[Scalar, ...] = ()
    results: tuple[Scalar, ...] = ()
    suspends: bool = False
    finishes: bool = False
    on_fault: int | None = None
    _callback: Any = field(default=None, repr=False, compare=False)

    @property
    def signature(self) -> Signature:
        """The type that a guest imports."""
        return Signature(tuple(p.kind for p in self.parameters), tuple(r.kind for r in self.results))

    @property
    def callback(self) -> Any:
        """The ctypes callback, made once. Whoever links it keeps it as long as guests may call it."""
        if self._callback is None:
            self._callback = bind(self)
        return self._callback

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Interface:
    """An import module and its functions.

        nn = Interface("wasi_ephemeral_nn")

        @nn.function("load_by_name")
        def load_by_name(guest: Guest[Host], name: U32, length: U32, out: U32) -> U32: ...

        @nn.function("compute")                  # `async def`: the guest is suspended while it runs
        async def compute(guest: Guest[Host], context: U32) -> U32: ...

        @wasi.function("fd_read", suspends=True)  # answers a value or an awaitable: only then it waits
        def fd_read(guest: Guest[Host], fd: U32) -> U32 | Awaitable[U32]: ...

    The first parameter is the guest; the others and the result are U32, S32, U64, S64, F32 or F64. A plain
    function runs on the guest's fiber; an awaitable is awaited off it, by the task that runs the guest, and
    cancelled with it. `on_fault` is what its functions that give one number answer for a pointer outside of
    the guest's memory (while they are called, not while they are awaited).
    """

    def __init__(self, module: str, *, on_fault: int | None = None) -> None:
        self.module = module
        self.on_fault = on_fault
        self._functions: dict[str, HostFunction] = {}

    def function(self, name: str, *, suspends: bool = False, finishes: bool = False) -> Callable[[F], F]:
        """Declare a function from its annotations. Raises TypeError for annotations that no guest can
        pass."""

        def declare(function: F) -> F:
            first, *parameters = inspect.signature(function).parameters.values()
            if first.kind is not first.POSITIONAL_OR_KEYWORD:
                raise TypeError(f"{name}: the first parameter is the guest")
            scalars = [scalar(p.annotation) for p in parameters]
            if None in scalars:
                raise TypeError(f"{name}: a parameter cannot be None")
            result = scalar(inspect.signature(function).return_annotation)
            waits = suspends or finishes or inspect.iscoroutinefunction(function)
            self.define(
                name, function, tuple(s for s in scalars if s), result, suspends=waits, finishes=finishes
            )
            return function

        return declare

    def define(
        self,
        name: str,
        function: Callable[..., Any],
        parameters: tuple[Scalar, ...],
        result: Scalar | tuple[Scalar, ...] | None,
        *,
        suspends: bool = False,
        finishes: bool = False,
    ) -> HostFunction:
        """Declare a function whose types are known at run time only. Raises ValueError if the name is
        taken."""
        if name in self._functions:
            raise ValueError(f"{self.module}.{name} is declared already")
        results = result if isinstance(result, tuple) else (result,) if result else ()
        if len(results) > 1 and (suspends or finishes):
            raise ValueError(f"{self.module}.{name} suspends, so it has one result at most")
        made = HostFunction(
            self.module,
            name,
            function,
            parameters,
            results,
            suspends or finishes,
            finishes,
            self.on_fault if len(results) == 1 else None,
        )
        self._functions[name] = made
        return made

    def renamed(self, module: str) -> Interface:
        """Return the same functions under another module name; later declarations here do not reach it."""
        other = Interface(module, on_fault=self.on_fault)
        for f in self._functions.values():
            other.define(
                f.name, f.function, f.parameters, f.results, suspends=f.suspends, finishes=f.finishes
            )
        return other

    def __iter__(self) -> Iterator[HostFunction]:
        return iter(self._functions.values())

    def __getitem__(self, name: str) -> HostFunction:
        return self._functions[name]

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def __len__(self) -> int:
        return len(self._functions)
