"""Connecting to a server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar

from wasmind.backends.oip.exchange import Unreachable

CONNECT_S = 5.0
"""How long a server may take to accept a connection, TLS included."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def dial(host: str, port: int, tls: ssl.SSLContext | None, make: Callable[[], P]) -> P:
    """A connection that `make` speaks. Raises Unreachable."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            _, protocol = await loop.create_connection(
                make, host, port, ssl=tls, server_hostname=host if tls is not None else None
            )
    except TimeoutError as error:
        raise Unreachable(f"no connection within {CONNECT_S:g} s") from error
    except (OSError, UnicodeError) as error:  # ssl.SSLError is the one, a name that is none the other
        raise Unreachable(str(error) or type(error).__name__) from error
    return protocol
