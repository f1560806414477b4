"""``radrag label review``: the review screen."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from radrag.cli.app import fail


def register(commands: typer.Typer) -> None:
    """Hang the verb under ``radrag label``."""
    commands.command()(review)


def review(
    queue: Annotated[Path, typer.Argument(help="Queue, as radrag label issues wrote it.")],
    out: Annotated[Path, typer.Option(help="File of decisions, JSON Lines; it is only added to, and resumed.")],
    reviewer: Annotated[str, typer.Option(help="Your name; it is kept with every decision.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Review notes in the browser, by keyboard. Only this machine can open the page; end with Ctrl+C."""
    from radrag.cli.review_server import ReviewServer
    from radrag.cli.review_session import ReviewSession
    from radrag.labelling.loop.queue import read_queue

    session = ReviewSession(read_queue(queue), out, reviewer)
    try:
        server = ReviewServer(session, port)
    except OSError as error:
        fail(f"port {port} cannot be used ({error.strerror}); give another with --port, or 0 for a free one")
    state = session.state()
    typer.echo(f"{state['done']} of {state['total']} notes are done; {out} keeps the decisions.")
    typer.echo(f"Open {server.url}\nThe address holds the key to these notes: do not pass it on. End with Ctrl+C.")
    with tempfile.TemporaryDirectory(prefix="radrag-review-") as folder:
        if browser:
            webbrowser.open(_door(Path(folder), server.url).as_uri())
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            server.server_close()
    typer.echo(f"{session.state()['done']} of {state['total']} notes are done.")


def _door(folder: Path, url: str) -> Path:
    """Write a page that leads to the review: other users of a machine can read the arguments of a browser.

    The folder is one that only its owner can enter, as ``tempfile`` makes them.
    """
    page = folder / "review.html"
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={url}">', encoding="utf-8")
    return page
