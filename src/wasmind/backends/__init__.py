"""Where inferences run: in a process of this node, or on another server."""
