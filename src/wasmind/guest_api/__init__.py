"""What a guest may call: one folder per interface, each a thin translation between an ABI and the domain
below it.
"""
