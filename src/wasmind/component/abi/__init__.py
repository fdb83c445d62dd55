"""The canonical ABI over guest memory: component values are lifted from it and lowered into it.

`function` makes whole functions of a signature: host functions over core values, exports as coroutines;
`adapter` and `entry` the halves of calls that core code makes, `builtins` those around resources. `values`
says how values look in Python, `context` what a call works on. CanonicalABI.md of the Component Model is the
reference for all of it.
"""
