"""The `wasmind` command: its subcommands, and how it ends.

The exit codes are in `EXIT_CODES`, which `wasmind --help` ends with.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wasmind.cli import compile as compile_
from wasmind.cli import demo, doctor, functions, models, node, run, serve

EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 program refused, "
    "4 model cannot be loaded, 130 interrupted, 134 guest trapped or went over a limit. "
    "`run` ends with its guest's exit code."
)

app = typer.Typer(
    name="wasmind",
    help="Edge functions in WebAssembly that do machine learning.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("run", context_settings={"allow_interspersed_args": False})(run.run)
app.command("compile")(compile_.compile_)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("status")(node.status)
app.command("reload")(node.reload)
app.command("stop")(node.stop)
app.add_typer(models.app, name="models")
app.add_typer(functions.app, name="functions")


def _version(wanted: bool) -> None:
    if wanted:
        import wasmind
        from wasmind.cli.output import say

        say(f"wasmind {wasmind.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Edge functions in WebAssembly that do machine learning."""


def main() -> None:
    """Run the command and end the process with its exit code."""
    from wasmind.errors import WasmindError

    try:
        app()
    except WasmindError as error:
        from wasmind.cli.output import failed

        failed(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
