"""The command line, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from radrag.cli.app import app


def run(*arguments: object, code: int = 0) -> str:
    """Run a command that must end with this code; return what it prints, of ``--json`` without what goes to stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if "--json" in arguments and result.stdout else result.output
