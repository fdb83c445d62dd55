"""The WASI system interfaces: a command's arguments, environment, streams, clocks and randomness, without
files.
"""
