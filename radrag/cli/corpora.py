"""``radrag corpora``: list, info, verify, pubmed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from radrag.cli import pubmed
from radrag.cli.app import show
from radrag.cli.index import Json

commands = typer.Typer(no_args_is_help=True, help="The corpora that ship, with their data cards.")
commands.add_typer(pubmed.commands, name="pubmed")
Name = Annotated[str, typer.Argument(help="Name of a shipped corpus.")]


def register(app: typer.Typer) -> None:
    """Hang the verbs under ``radrag``."""
    app.add_typer(commands, name="corpora")


@commands.command("list")
def list_(as_json: Json = False) -> None:
    """List the shipped corpora."""
    from radrag.corpora import SHIPPED, corpus_folder, load_card

    cards = [load_card(corpus_folder(name)) for name in SHIPPED]
    show([asdict(card) for card in cards], "\n".join(f"{c.name:16}{c.records:6}  {c.what}" for c in cards), as_json)


@commands.command()
def info(name: Name, as_json: Json = False) -> None:
    """Print a corpus's data card and where it is."""
    from radrag.corpora import corpus_folder, load_card

    folder = corpus_folder(name)
    facts = {**asdict(load_card(folder)), "folder": str(folder)}
    facts["files"] = dict(facts["files"])
    lines = [f"{key}: {len(value)}" if key == "files" else f"{key}: {value}" for key, value in facts.items()]
    show(facts, "\n".join(lines), as_json)


@commands.command()
def verify(name: Annotated[str | None, typer.Argument(help="One corpus; all if left out.")] = None,
           as_json: Json = False) -> None:  # fmt: skip
    """Check the shipped files against their cards."""
    from radrag.corpora import SHIPPED, corpus_folder
    from radrag.corpora import verify as check

    problems = {one: check(corpus_folder(one)) for one in ([name] if name else SHIPPED)}
    lines = [f"{one}: {'; '.join(found) or 'as its card says'}" for one, found in problems.items()]
    show(problems, "\n".join(lines), as_json)
    if any(problems.values()):
        raise typer.Exit(1)
