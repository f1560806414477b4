"""A review of made notes, served as the command serves it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_review import made_queue

from radrag.cli.review_server import ReviewServer
from radrag.cli.review_session import ReviewSession


@pytest.fixture
def decisions(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


@pytest.fixture
def server(decisions: Path) -> Iterator[ReviewServer]:
    with ReviewServer(ReviewSession(made_queue(), decisions, "Dr. Ada")) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
