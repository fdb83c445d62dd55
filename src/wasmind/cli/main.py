"""The `wasmind` command: its subcommands, and how it ends.

The exit codes are in `EXIT_CODES`, which `wasmind --help` ends with.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from wasmind.cli import build, demo, dev, doctor, functions, init, models, node, run, serve
from wasmind.cli import compile as compile_
from wasmind.cli.output import reported, say

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
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command, _words in (
    ("init", init.init, "Write a new project."),
    ("build", build.build, "Build functions from their sources."),
    ("dev", dev.dev, "Serve, and build again on change."),
    ("serve", serve.serve, "Serve a node's functions and models."),
    ("compile", compile_.compile_, "Check and compile programs ahead."),
    ("doctor", doctor.doctor, "Check what this machine offers."),
    ("demo", demo.demo, "Serve a real image classifier."),
    ("status", node.status, "Show the running node."),
    ("reload", node.reload, "Reload the running node."),
    ("stop", node.stop, "Stop the running node."),
):
    app.command(_name, short_help=_words)(reported(_command))
app.command(
    "run", short_help="Run a WASI command with wasi-nn.", context_settings={"allow_interspersed_args": False}
)(reported(run.run))
app.add_typer(models.app, name="models")
app.add_typer(functions.app, name="functions")


def _version(wanted: bool) -> None:
    if wanted:
        import wasmind

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
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
