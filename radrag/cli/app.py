"""The root of the command, what its verbs share, and how errors end."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Annotated, Any, NoReturn

import typer

from radrag._version import __version__

ABSTAINED = 3
# Of C0 only tab and line feed stay. Of the rest: C1, and what turns the order of letters, breaks lines or is not seen.
_BEYOND_C0 = "\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f{_BEYOND_C0}]")
_UNESCAPED = re.compile(f"[{_BEYOND_C0}]")

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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Cited answers and cited labels for clinical text."""


def shown(text: str) -> str:
    """Return text without control characters, by which a source could write to the terminal what it does not say."""
    return _CONTROLS.sub("\ufffd", text)


def dumped(value: Any, indent: int | None = 1) -> str:
    """Return JSON in which control characters are escaped, also those that JSON would let stand."""
    made = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", made)


def show(value: Any, text: str, as_json: bool) -> None:
    """Print a value as JSON or as text; control characters are made visible in both."""
    typer.echo(dumped(value) if as_json else shown(text))


def fail(message: str) -> NoReturn:
    """End with exit code 1."""
    complain(message)
    raise typer.Exit(1)


def complain(message: object) -> None:
    """Print an error in red; it may quote a file."""
    typer.secho(f"radrag: {shown(str(message))}", fg=typer.colors.RED, err=True)


def main() -> None:
    """Run the command; errors made on purpose end in one line, everything else in a traceback."""
    from radrag.errors import RadragError

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except (RadragError, ValueError, KeyError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        complain(message)
        sys.exit(1)


def _register() -> None:
    from radrag.cli import ask, corpora, demo, evaluate, index, label, train

    for module in (demo, index, ask, label, train, evaluate, corpora):
        module.register(app)


_register()
