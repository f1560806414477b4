"""The root of the command, what its verbs share, and how errors end."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from radrag._version import __version__

ABSTAINED = 3

app = typer.Typer(
    name="radrag",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Cited answers and cited labels for clinical text.\n\nStart with [bold]radrag demo[/bold]: it runs offline on "
    "what ships. Then build an index with [bold]radrag index build[/bold] and ask it with [bold]radrag ask[/bold].",
    epilog="Exit codes: 0 done, 1 failed or problems found, 2 wrong usage, 3 no answer. Not for clinical decisions.",
)


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Cited answers and cited labels for clinical text."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def show(value: Any, text: str, as_json: bool) -> None:
    """Print a value as JSON or as text."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1, default=str) if as_json else text)


def fail(message: str) -> NoReturn:
    """End with exit code 1."""
    typer.secho(f"radrag: {message}", fg=typer.colors.RED, err=True)
    raise typer.Exit(1)


def main() -> None:
    """Run the command; errors made on purpose end in one line, everything else in a traceback."""
    from radrag.errors import RadragError

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except (RadragError, ValueError, KeyError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        typer.secho(f"radrag: {message}", fg=typer.colors.RED, err=True)
        sys.exit(1)


def _register() -> None:
    from radrag.cli import ask, corpora, demo, evaluate, index, label, train

    for module in (demo, index, ask, label, train, evaluate, corpora):
        module.register(app)


_register()
