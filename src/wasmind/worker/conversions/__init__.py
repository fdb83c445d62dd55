"""What is converted between functions and a model, confined with it: see `wasmind.config.convert`."""
