"""The wasi-nn domain: graphs, tensors, execution contexts and their errors, without any ABI, transport or
framework.
"""
