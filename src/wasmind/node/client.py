"""Asks a running node, from another process: the command line waits for an answer, the API awaits it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wasmind.errors import NodeError
from wasmind.node.state import connect_to_status
from wasmind.node.status import Command, NodeStatus, Request, decode_answer, encode_line

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_LINE = 64 << 20
"""The status of 100,000 functions fits."""


def ask(state: Path, command: Command, timeout: float = 300.0, model: str | None = None) -> NodeStatus:
    """Give the node on state directory `state` a command. Raises NodeError, or what the node refuses with.

    `model` is for `load` and `unload`: a name, `name@3`, `name:stable` or an id.
    """
    with connect_to_status(state) as client:
        client.settimeout(timeout)
        try:
            client.sendall(encode_line(Request(command, model)))
            with client.makefile("rb") as answers:
                line = answers.readline(LONGEST_LINE)
        except TimeoutError as error:
            raise NodeError(f"the node did not answer within {timeout:g} s") from error
        except OSError as error:
            raise _gone(error) from error
    if not line:
        raise _gone(None)
    return decode_answer(line)


async def ask_async(
    state: Path, command: Command, timeout: float = 5.0, model: str | None = None
) -> NodeStatus:
    """The same for an event loop."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(
                sock=connect_to_status(state), limit=LONGEST_LINE
            )
            try:
                writer.write(encode_line(Request(command, model)))
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError as error:
        raise NodeError(f"the node did not answer within {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise _gone(error) from error
    if not line:
        raise _gone(None)
    return decode_answer(line)


def _gone(error: Exception | None) -> NodeError:
    return NodeError("the node ended before it answered", cause=str(error) if error else None)
