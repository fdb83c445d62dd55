"""`wasi:filesystem` without files, `wasi:sockets` without network: toolchains import them, so they exist.

No directory is open, so a guest never gets a descriptor to call the other functions with. Sockets are refused
with `access-denied`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmind.component.interface import WitInterface
from wasmind.component.types import List, Own, Primitive, Tuple

if TYPE_CHECKING:
    from wasmind.guest_api.wasi.p2.host import ComponentHost
    from wasmind.sandbox import Guest

REFUSAL = "access-denied"

types = WitInterface("wasi:filesystem/types@0.2.12", refuses="access")
DESCRIPTOR = types.resource("descriptor")

preopens = WitInterface("wasi:filesystem/preopens@0.2.12")


@preopens.function("get-directories", result=List(Tuple((Own(DESCRIPTOR), Primitive.STRING))))
def get_directories(_guest: Guest[ComponentHost]) -> list[tuple[object, str]]:
    """No directory is open."""
    return []


network = WitInterface("wasi:sockets/network@0.2.12", refuses=REFUSAL)
NETWORK = network.resource("network")

instance_network = WitInterface("wasi:sockets/instance-network@0.2.12")


@instance_network.function("instance-network", result=Own(NETWORK))
def get_network(_guest: Guest[ComponentHost]) -> object:
    """A network that nothing can be reached through."""
    return _NOWHERE


_NOWHERE = object()

INTERFACES = (
    types,
    preopens,
    network,
    instance_network,
    *(
        WitInterface(f"wasi:sockets/{name}@0.2.12", refuses=REFUSAL)
        for name in ("ip-name-lookup", "tcp", "tcp-create-socket", "udp", "udp-create-socket")
    ),
)
