"""`python -m wasmind` is the `wasmind` command."""

from wasmind.cli.main import main

if __name__ == "__main__":
    main()
