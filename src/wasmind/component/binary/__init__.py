"""Component binaries, read strictly into definitions (WebAssembly/component-model, Binary.md)."""
