"""Logs and metrics of all processes of a node."""
