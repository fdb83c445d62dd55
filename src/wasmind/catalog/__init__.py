"""Named models and functions: what a node serves, read from its configuration and checked against the
files."""
