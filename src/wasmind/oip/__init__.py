"""The Open Inference Protocol v2, as it is served: to clients of the node, and to guests inside it.

Requests and answers here are bytes and names; which socket they came by, if any, is not known.
"""
