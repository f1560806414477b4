from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import radrag
from radrag.corpora import (
    SHIPPED,
    corpus_folder,
    load_claims,
    load_conflicts,
    load_evidence,
    load_finding_sets,
    load_near_misses,
    load_notes,
    load_phi_notes,
    load_protocols,
    load_questions,
    load_reports,
    verify,
    write_card,
)
from radrag.corpora import shipped as module
from radrag.errors import CorpusError

CARD = dict(title="t", what="w", how_made="h", licence="CC0", limits="l", version="1")
GUIDELINE = "---\nid: ct-pa\ntitle: CT PA\n---\n# CT PA\n## Safety\nCheck eGFR.\n"
DIGEST = {"id": "PMID:7", "pmid": "7", "title": "T", "year": 2020, "doi": None, "retracted": False, "text": "It works."}
CONFLICTS = "- {id: c, question: 'Does it?', kind: conflict, documents: ['PMID:7', 'PMID:8'], summary: They differ.}\n"
FINDINGS = "chest:\n- {id: effusion, name: Effusion, definition: Fluid., synonyms: [fluid]}\n"
REPORT = {
    "id": "r",
    "modality": "XR",
    "region": "chest",
    "set": "chest",
    "text": "IMPRESSION: Clear.",
    "sections": [{"name": "impression", "start": 12, "end": 18}],
    "findings": {"effusion": {"status": "not mentioned", "spans": []}},
}
PHI_NOTE = {
    "id": "n",
    "type": "note",
    "text": "Seen: Ann.",
    "spans": [{"start": 6, "end": 9, "text": "Ann", "kind": "name"}],
}
GOLD = {"document_id": "PMID:7", "start": 0, "end": 2, "quote": "It"}


def lines(path: Path, *records: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a small checkout: a package folder, and corpora beside it."""
    corpora = tmp_path / "corpora"
    (corpora / "protocols").mkdir(parents=True)
    (corpora / "protocols" / "ct-pa.md").write_text(GUIDELINE, encoding="utf-8")
    lines(corpora / "evidence" / "digests.jsonl", DIGEST)
    lines(corpora / "protocol-notes" / "train.jsonl", {"id": "a", "text": "r/o PE", "label": "ct-pa", "group": "g"})
    lines(corpora / "protocol-notes" / "test.jsonl", {"id": "b", "text": "PE?", "label": "ct-pa", "also": ["vq"]})
    lines(corpora / "protocol-notes" / "calibration.jsonl", {"id": "c", "text": "PE??", "label": "ct-pa"})
    (corpora / "evidence" / "conflicts.yaml").write_text(CONFLICTS, encoding="utf-8")
    (corpora / "reports").mkdir()
    (corpora / "reports" / "findings.yaml").write_text(FINDINGS, encoding="utf-8")
    lines(corpora / "reports" / "reports.jsonl", REPORT)
    lines(corpora / "questions" / "questions.jsonl", {"id": "q", "question": "Does it?", "gold": [GOLD]})
    for split in ("development", "test"):
        near = {"id": split, "document_id": "ct-pa", "question": "When?", "answered": False, "kind": "dose or time"}
        lines(corpora / "questions" / f"near_misses_{split}.jsonl", near)
    lines(corpora / "phi-notes" / "notes.jsonl", PHI_NOTE)
    for split, supported in (("development", True), ("test", False)):
        claim = {"id": split, "document_id": "PMID:7", "text": "It works.", "supported": supported}
        lines(corpora / "claims" / f"{split}.jsonl", claim | {"kind": "paraphrase", "writer": "T"})
    for name in SHIPPED:
        write_card(corpora / name, name=name, **CARD)
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "radrag")
    return corpora


def test_loaders(clone: Path) -> None:
    (protocol,), (digest,), (question,) = load_protocols(), load_evidence(), load_questions()
    assert (protocol.id, protocol.kind, protocol.sections[0].path) == ("ct-pa", "guideline", ("CT PA", "Safety"))
    assert (digest.id, digest.kind, digest.text, digest.title) == ("PMID:7", "digest", "It works.", "T")
    assert digest.metadata == {
        "pmid": "7",
        "year": 2020,
        "retracted": False,
        "url": "https://pubmed.ncbi.nlm.nih.gov/7/",
    }
    assert [note.group for note in load_notes()] == ["g"]
    assert [note.also for note in load_notes("test")] == [("vq",)]
    assert question.gold[0].quote == "It"
    assert [note.id for note in load_notes("calibration")] == ["c"]
    (conflict,), (report,) = load_conflicts(), load_reports()
    assert (conflict.kind, conflict.documents) == ("conflict", ("PMID:7", "PMID:8"))
    assert (report.section("impression"), report.findings[0].status) == ("Clear.", "not mentioned")
    assert load_finding_sets()["chest"][0].synonyms == ("fluid",)
    assert [(claim.id, claim.supported) for claim in load_claims()] == [("development", True)]
    assert [(claim.id, claim.supported) for claim in load_claims("test")] == [("test", False)]
    assert [(one.id, one.text, one.answered) for one in load_near_misses("test")] == [("test", "When?", False)]
    ((name,),) = (note.spans for note in load_phi_notes())
    assert (name.text, name.kind) == ("Ann", "name")


LOADERS: list[tuple[str, Callable[[], object]]] = [
    ("protocols/ct-pa.md", load_protocols),
    ("evidence/digests.jsonl", load_evidence),
    ("protocol-notes/train.jsonl", load_notes),
    ("protocol-notes/test.jsonl", lambda: load_notes("test")),
    ("protocol-notes/calibration.jsonl", lambda: load_notes("calibration")),
    ("evidence/conflicts.yaml", load_conflicts),
    ("reports/reports.jsonl", load_reports),
    ("reports/findings.yaml", load_finding_sets),
    ("questions/questions.jsonl", load_questions),
    ("phi-notes/notes.jsonl", load_phi_notes),
    ("claims/development.jsonl", load_claims),
    ("questions/near_misses_development.jsonl", load_near_misses),
    ("questions/near_misses_test.jsonl", lambda: load_near_misses("test")),
    ("claims/test.jsonl", lambda: load_claims("test")),
]


@pytest.mark.parametrize(("name", "load"), LOADERS)
def test_a_changed_or_missing_file_is_named(clone: Path, name: str, load: Callable[[], object]) -> None:
    path = clone / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(
        CorpusError, match=r"changed, sha256 is .*refresh the card with: python corpora/build\.py"
    ) as caught:
        load()
    assert caught.value.file == str(path)
    path.unlink()
    with pytest.raises(CorpusError, match="missing"):
        load()


def test_a_guideline_that_is_not_in_the_card(clone: Path) -> None:
    (clone / "protocols" / "new.md").write_text("# New\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"new\.md: not in the card"):
        load_protocols()


def test_a_wheel_has_precedence_over_what_lies_beside_the_package(clone: Path, tmp_path: Path) -> None:
    assert corpus_folder("protocols") == clone / "protocols"
    inside = tmp_path / "radrag" / "_corpora" / "protocols"
    shutil.copytree(clone / "protocols", inside)
    assert corpus_folder("protocols") == inside
    assert [document.id for document in load_protocols()] == ["ct-pa"]


def test_names_that_do_not_ship(clone: Path) -> None:
    with pytest.raises(ValueError, match="expected one of protocols, evidence, protocol-notes, reports, questions"):
        corpus_folder("../secrets")
    with pytest.raises(ValueError, match="split must be 'train', 'calibration' or 'test', got 'dev'"):
        load_notes("dev")  # type: ignore[arg-type]
    shutil.rmtree(clone / "questions")
    with pytest.raises(CorpusError, match=r"'questions' is in neither .*_corpora.* install radrag again"):
        corpus_folder("questions")


@pytest.mark.parametrize("layout", ["radrag/_corpora", "corpora"])
def test_the_resolver_in_a_wheel_and_in_a_checkout(clone: Path, tmp_path: Path, layout: str) -> None:
    site = tmp_path / "site"
    source = Path(radrag.__file__).parent
    for name in ("corpora", "types"):
        shutil.copytree(source / name, site / "radrag" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "_version.py", "errors.py"):
        shutil.copy(source / name, site / "radrag")
    shutil.copytree(clone, site / layout)
    code = "from radrag.corpora import *; print(corpus_folder('evidence'), len(load_protocols() + load_evidence()))"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout.split(), run.stderr) == ([str(site / layout / "evidence"), "2"], "")


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_what_its_card_says(name: str) -> None:
    assert verify(corpus_folder(name)) == []


def test_what_ships_loads_and_fits_together() -> None:
    documents = {document.id: document for document in [*load_protocols(), *load_evidence()]}
    assert len(documents) == len(load_protocols()) + len(load_evidence())
    labels = {document.id for document in load_protocols()}
    for split in ("train", "test"):
        notes = load_notes(split)
        assert {label for note in notes for label in (note.label, *note.also)} <= labels
    for question in load_questions():
        assert bool(question.gold) or not question.answerable
        for gold in question.gold:
            assert documents[gold.document_id].text[gold.start : gold.end] == gold.quote
