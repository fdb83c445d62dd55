"""Listening: a port is taken for real, shared among workers only, and refusals name the holder."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Any

import pytest

from wasmind.errors import NodeError
from wasmind.node.listen import _SO_ATTACH_FILTER as SO_ATTACH_FILTER
from wasmind.node.listen import deafen, listen


def close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def test_several_sockets_share_one_port_and_each_gets_connections() -> None:
    listeners = listen("127.0.0.1", 0, "port", 2)
    address = listeners[0].getsockname()
    assert {listener.getsockname() for listener in listeners} == {address}
    clients = [socket.create_connection(address) for _ in range(64)]
    taken = []
    for listener in listeners:
        with suppress(BlockingIOError):
            while True:
                taken.append((listener, listener.accept()[0]))
    assert len(taken) == 64
    assert {listener for listener, _ in taken} == set(listeners)
    close([*clients, *(accepted for _, accepted in taken), *listeners])


def test_a_port_that_is_taken_is_refused_and_its_holder_named() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        with pytest.raises(NodeError, match=f"port {port} on 127.0.0.1 is taken") as refused:
            listen("127.0.0.1", port, "ports.functions")
    assert f"process {os.getpid()}" in (refused.value.cause or "")
    assert "ports.functions" in (refused.value.remedy or "")


def test_a_port_can_be_taken_again_at_once() -> None:
    (first,) = listen("127.0.0.1", 0, "port")
    address = first.getsockname()
    client = socket.create_connection(address)
    accepted, _ = first.accept()
    close([accepted, client, first])
    close(listen(*address, "port"))


def test_ipv6_is_an_address_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    (listener,) = listen("::1", 0, "port")
    assert listener.family == socket.AF_INET6
    listener.close()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(NodeError) as refused:
        listen(host, 0, "port")
    assert "`host`" in (refused.value.remedy or "")


def test_a_deaf_socket_gives_what_waits_and_takes_nothing_new() -> None:
    (listener,) = listen("127.0.0.1", 0, "port")
    with listener, listener.dup() as other:
        address = listener.getsockname()
        with socket.create_connection(address, 5) as before:
            deafen(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, 0.2)
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"hello")
                assert before.recv(10) == b"hello"


class Restricted(socket.socket):
    """A socket of a system that lets only root attach filters, as some do."""

    def setsockopt(self, *words: Any) -> None:
        if words[1] == SO_ATTACH_FILTER:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        super().setsockopt(*words)


def test_a_deaf_socket_without_filters_takes_one_at_the_most() -> None:
    (made,) = listen("127.0.0.1", 0, "port")
    with Restricted(fileno=made.detach()) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, 5) as before:
            deafen(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, 0.2)
            connection, _ = listener.accept()
            with connection, socket.create_connection(address, 0.2), pytest.raises(TimeoutError):
                socket.create_connection(address, 0.2)
            before.close()
