"""wasmind: edge functions in WebAssembly that do machine learning."""

__version__ = "0.1.0"
