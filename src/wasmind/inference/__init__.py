"""The inference process: the node's models served by the Open Inference Protocol, REST and gRPC.

It is a process of its own, so that large requests of its callers stall no function.
"""
