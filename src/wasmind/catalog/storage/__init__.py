"""Models that are kept elsewhere: in registries, object stores and on web servers.

`fetch` brings them into the node's own store, `push` sends them; `manifest` says what an artifact is. `oci`,
`objects` and `web` each know one kind of place, and only they import its client.
"""
