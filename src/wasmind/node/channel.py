"""One end of the socketpair between the supervisor and an edge worker: whole messages in and out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from wasmind.errors import NodeError
from wasmind.node.messages import MAX_FRAME, FromEdge, ToEdge, decode_from_edge, decode_to_edge, encode

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

Received = TypeVar("Received", ToEdge, FromEdge)
Sent = TypeVar("Sent", ToEdge, FromEdge)


class Channel(Generic[Received, Sent]):
    """Sends never wait: messages are small, and a peer that stops reading is dead or about to be killed."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decode: Callable[[bytes], Received]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decode: Callable[[bytes], Received] = decode

    def send(self, message: Sent) -> None:
        """Queue one message. After the peer closed, messages are dropped: the reader learns of the end."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def messages(self) -> AsyncIterator[Received]:
        """Each message as it comes, until the peer closes. Raises NodeError for an unreadable frame."""
        while True:
            try:
                length = int.from_bytes(await self._reader.readexactly(4), "little")
                if length > MAX_FRAME:
                    raise NodeError(
                        "a message between the node's processes is too large", cause=f"{length} bytes"
                    )
                body = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            yield self._decode(body)

    async def close(self) -> None:
        """Send what is queued and close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the peer was faster


async def open_in_edge(sock: socket.socket) -> Channel[ToEdge, FromEdge]:
    """The edge worker's end."""
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    return Channel(reader, writer, decode_to_edge)


async def open_in_supervisor(sock: socket.socket) -> Channel[FromEdge, ToEdge]:
    """The supervisor's end."""
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    return Channel(reader, writer, decode_from_edge)
