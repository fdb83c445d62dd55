"""The node's API: health, metrics, models, functions; in a process of its own, so it answers under load."""
