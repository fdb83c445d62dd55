"""A request as a function's environment describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from wasmind.guest_api.cgi import Request

if TYPE_CHECKING:
    from wasmind.httpd.head import Head

Address: TypeAlias = tuple[str, int]


def cgi_request(head: Head, script_name: str, client: Address, server: Address) -> Request:
    """A request whose head was checked, for the function that is routed at `script_name`."""
    return Request(
        method=head.method,
        script_name=script_name,
        path_info=head.path[len(script_name) :],
        target=head.target,
        query=head.query,
        headers=head.headers,
        client=client,
        server=server,
        http_version=head.version,
    )
