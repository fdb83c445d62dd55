"""Callers: tenants, known by their tokens, and the models that each may name."""

from __future__ import annotations

import hashlib
from hmac import compare_digest
from typing import TYPE_CHECKING

from wasmind.errors import ModelNotFound, NotAllowed, Overloaded, TokenRefused, UnsupportedOperation
from wasmind.oip.inference import reference

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from wasmind.models.served import ServedModel
    from wasmind.nn.encoding import Encoding, Target
    from wasmind.nn.graph import Graph
    from wasmind.node.messages import CallerEntry, InferenceEntry, NamedModel

MAX_TOKEN = 4096
"""Characters of a token; no longer one is hashed."""
PREFIX = 4
"""Bytes of a token's hash by which it is looked up; the whole hash is compared in constant time."""
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Caller:
    """One tenant in one generation of the configuration (an `nn.Models`)."""

    allow_load = False

    def __init__(self, entry: CallerEntry, served: Callable[[str], ServedModel], among: Callers) -> None:
        """`served` finds a model by its id; `among`: the callers of the same generation."""
        self.entry = entry
        self.among = among
        self.tenant = entry.tenant
        self.running = 0
        self._named: dict[str, tuple[NamedModel, ServedModel]] = {}
        for named in entry.models:
            found = (named, served(named.id))
            self._named.update((name, found) for name in (_pinned(named), *named.references))

    def find(self, name: str) -> ServedModel:
        """The model of a name, or of `name@version`. Raises ModelNotFound, whatever the reason."""
        return self._found(name)[1]

    def knows(self, name: str) -> bool:
        """Whether it may name this."""
        return name in self._named

    def resolve(self, name: str) -> Graph | Awaitable[Graph]:
        """Find a named model. Raises ModelNotFound, ModelUnavailable."""
        return self.find(name).resolve(self.tenant)

    async def load(self, builders: tuple[bytes, ...], encoding: Encoding, target: Target) -> Graph:
        """Refuse: callers bring no models."""
        raise UnsupportedOperation("callers bring no models")

    def named(self, model: str, version: str = "") -> NamedModel:
        """What answers for a name, which may be an alias, alone or with a version. Raises ModelNotFound."""
        return self._found(reference(model, version))[0]

    def version(self, model: str, version: str) -> str:
        """The version of what answers for a name. Raises ModelNotFound."""
        return self.named(model, version).version

    def versions(self, model: str) -> tuple[str, ...]:
        """The versions of a model, the one that its name alone means first. Raises ModelNotFound."""
        return tuple(named.version for named in self.all_of(self.named(model).name))

    def all_of(self, name: str) -> tuple[NamedModel, ...]:
        """All versions of a model by its own name; an alias is none. Raises ModelNotFound."""
        found = tuple(named for named in self.entry.models if named.name == name)
        if not found:
            raise _not_found(name)
        return found

    def models(self) -> Iterator[tuple[NamedModel, ServedModel]]:
        """All that it may name."""
        for named in self.entry.models:
            yield self._named[_pinned(named)]

    def _found(self, name: str) -> tuple[NamedModel, ServedModel]:
        found = self._named.get(name)
        if found is None:
            raise _not_found(name)
        return found

    def check_manages(self) -> None:
        """Raises NotAllowed for one that may not load and unload models."""
        if not self.entry.manage:
            raise NotAllowed(
                f"the tenant {self.tenant!r} may not load or unload models",
                remedy="set `manage = true` for the tenant",
            )

    def enter(self) -> None:
        """Begin a request. Raises Overloaded."""
        if self.running >= self.entry.concurrency:
            raise Overloaded(
                f"{self.running} requests of this tenant are under way, which is all that may be"
            )
        self.running += 1


class Callers:
    """All callers of one generation of the configuration."""

    def __init__(
        self, generation: int, entry: InferenceEntry | None, served: Callable[[str], ServedModel]
    ) -> None:
        """Without an `entry` nobody may call."""
        self.generation = generation
        self.running = 0
        """Requests that began on it."""
        self._anonymous = Caller(entry.anonymous, served, self) if entry and entry.anonymous else None
        self._by_token: dict[bytes, list[tuple[bytes, Caller]]] = {}
        for one in entry.callers if entry else ():
            caller = Caller(one, served, self)
            for token in map(bytes.fromhex, one.tokens):
                self._by_token.setdefault(token[:PREFIX], []).append((token, caller))

    def of(self, authorization: str | None) -> Caller:
        """Who shows this `Authorization`. Raises TokenRefused."""
        if authorization is None:
            if self._anonymous is None:
                raise _no_token("the request has no bearer token")
            return self._anonymous
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN:
            raise _no_token("the request's Authorization is no bearer token")
        digest = hashlib.sha256(token.strip().encode()).digest()
        for known, caller in self._by_token.get(digest[:PREFIX], ()):
            if compare_digest(known, digest):
                return caller
        raise _no_token("nobody has this token")

    def is_anonymous(self, caller: Caller) -> bool:
        """Whether it came without a token."""
        return caller is self._anonymous


def _pinned(named: NamedModel) -> str:
    return reference(named.name, named.version)


def _not_found(name: str) -> ModelNotFound:
    return ModelNotFound(f"no such model: {name[:200]!r}")


def check_local(host: bytes, origin: bytes | None) -> None:
    """Raises NotAllowed for a request without a token that a web page may have sent.

    A page of anywhere can have its visitor's browser call loopback addresses, by a name of its own for them.
    """
    name = host.decode("latin-1").lower()
    name = name if name.endswith("]") else name.rpartition(":")[0] or name
    if origin is not None or not (name in _LOOPBACK or name.startswith("127.")):
        raise NotAllowed(
            "a request without a token must not come from a web page",
            cause=f"its Host is {name!r}" + ("" if origin is None else ", and it has an Origin"),
            remedy="ask localhost or 127.0.0.1, or configure a tenant with tokens",
        )


def _no_token(why: str) -> TokenRefused:
    return TokenRefused(why, remedy="send `Authorization: Bearer TOKEN` with a token of a tenant")
