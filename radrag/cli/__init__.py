"""The ``radrag`` command: thin over the public API."""

from radrag.cli.app import app, main

__all__ = ["app", "main"]
