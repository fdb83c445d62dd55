"""The node's models as a process that serves requests reaches them."""
