"""No statement of a search or a small write looks at every document or passage, however SQLite plans it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from radrag.indexes.database import Database
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document, Notice

RETRACTED = ["Journal Article", "Retracted Publication"]


def test_nothing_is_scanned(tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Sequence[Any]]] = []
    reads, changes = Database.all, Database.run

    def watched_all(self: Database, statement: str, parameters: Sequence[Any] = ()) -> Any:
        asked.append((statement, parameters))
        return reads(self, statement, parameters)

    def watched_run(self: Database, statement: str, parameters: Sequence[Any] = ()) -> Any:
        asked.append((statement, parameters))
        return changes(self, statement, parameters)

    facts = {"year": 2020, "doi": "10.1/x"}
    documents = [Document(f"PMID:{n}", f"liver stone {n}. renal mass.", metadata=facts) for n in range(40)]
    documents[3] = Document("PMID:3", "liver stone 3", metadata={"publication_types": RETRACTED})
    with HybridIndex.create(tmp_path / "index", encoder=toy()) as index:
        index.add(documents)
    monkeypatch.setattr(Database, "all", watched_all)
    monkeypatch.setattr(Database, "run", watched_run)
    with HybridIndex.open(tmp_path / "index", encoder=toy()) as index:
        assert "PMID:3" not in [hit.passage.document_id for hit in index.search("liver stone", 40)]
        hit = index.search("renal", 5, where={"year": 2020}, per_document=1)[0]
        index.neighbours(hit.passage.id)
        index.document("PMID:5")
        index.update([Document("PMID:7", "gall stone")])
        index.delete(["PMID:8"])
        index.set_notices("watch", [Notice("PMID:9", "corrected"), Notice("doi:10.1/x", "corrected")])
        index.search("stone")
    with monkeypatch.context() as restored:
        restored.setattr(Database, "all", reads)
        database = Database(tmp_path / "index" / "store.sqlite")
        explained = {
            statement: [row[3] for row in database.all(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked
            if not statement.startswith(("PRAGMA", "VACUUM"))
        }
        database.close()
    assert any("FROM passages" in statement for statement in explained)
    assert any("FROM other_names" in statement for statement in explained)
    scanned = {
        statement: steps
        for statement, steps in explained.items()
        if any(
            step in {"SCAN documents", "SCAN passages", "SCAN other_names"} or step.startswith("SCAN passages ")
            for step in steps
        )
    }
    assert not scanned
