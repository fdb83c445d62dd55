"""Symbolic evaluation: what definitions mean, with every index and alias resolved, and checked."""
