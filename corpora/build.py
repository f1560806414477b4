"""Rebuild everything under corpora/ that is made, and write the data cards with what is counted in the files.

Run it from anywhere: python corpora/build.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from radrag.corpora import read_finding_sets, read_markdown, write_card
from radrag.corpora.reports import read_conflicts

HERE = Path(__file__).resolve().parent
LIMITS = "Written for software demonstration; not reviewed by clinicians; not clinical guidance."
VERSION = "2"


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / name).read_text(encoding="utf-8").splitlines()]


def _protocols() -> dict[str, str]:
    pages = list(read_markdown(HERE / "protocols"))
    modalities = Counter(str(page.metadata["modality"]) for page in pages)
    listed = ", ".join(f"{count} {name}" for name, count in modalities.most_common())
    children = sum("child" in str(page.metadata["population"]) for page in pages)
    return {
        "title": "Imaging protocols",
        "what": f"{len(pages)} imaging protocols ({listed}), a Markdown page each, with seven sections and front matter; "
        f"{children} cover children.",
        "how_made": "Written for radrag in its own words from general radiology practice, then read a second time in full "
        "for clinical errors.",
    }


def _evidence() -> dict[str, str]:
    digests, conflicts = _rows("evidence/digests.jsonl"), read_conflicts(HERE / "evidence" / "conflicts.yaml")
    retracted = sum(digest["retracted"] for digest in digests)
    return {
        "title": "Evidence digests",
        "what": f"{len(digests)} digests of published studies under their true PMIDs, weighted to imaging, acute care and "
        f"treatment trials; {retracted} retracted; {len(conflicts)} sets of studies that conflict or were superseded.",
        "how_made": "Written for radrag in its own words from the records named in each digest; titles, years, numbers and "
        "shared runs of words checked against the record by tests/corpora/test_evidence_corpus.py.",
    }


def _notes() -> dict[str, str]:
    train, *hand = (_rows(f"protocol-notes/{split}.jsonl") for split in ("train", "calibration", "test"))
    labels = len({row["label"] for row in train})
    return {
        "title": "Order notes with protocol labels",
        "what": f"{len(train):,} made order notes for training, and {len(hand[0])} for calibration and {len(hand[1])} for "
        f"testing written by hand; {labels} labels.",
        "how_made": "train.jsonl by build.py from parts/*.yaml, seed 0; the others by hand in four voices, without sight of "
        "the parts, labelled a second time blind, and not changed after a score was seen.",
    }


def _reports() -> dict[str, str]:
    rows, sets = _rows("reports/reports.jsonl"), read_finding_sets(HERE / "reports" / "findings.yaml")
    modalities = Counter(row["modality"] for row in rows)
    listed = ", ".join(f"{count} {name}" for name, count in modalities.most_common())
    return {
        "title": "Radiology reports with labelled findings",
        "what": f"{len(rows)} short synthetic reports ({listed}) with sections; for each the findings of its set "
        f"({', '.join(f'{name} {len(found)}' for name, found in sets.items())}) as present, absent, uncertain, historical or "
        "not mentioned, with character spans.",
        "how_made": "Written by hand for radrag, with hard cases on purpose; findings labelled by the rules of its README.",
    }


def _questions() -> dict[str, str]:
    rows = _rows("questions/questions.jsonl")
    answerable = [row for row in rows if row["answerable"]]
    verdicts = sum(row["verdict"] is not None for row in answerable)
    near = [len(_rows(f"questions/near_misses_{split}.jsonl")) for split in ("development", "test")]
    return {
        "title": "Questions over the shipped corpora",
        "what": f"{len(rows)} questions: {len(answerable)} answerable with gold spans ({verdicts} of them yes/no/maybe), "
        f"{len(rows) - len(answerable)} that the corpora cannot answer; and {near[0]} (development) and {near[1]} (test) "
        "about single documents, half of which the document does not answer.",
        "how_made": "Written for radrag by hand; gold quotes are exact slices of the protocol pages and digests.",
    }


def _phi_notes() -> dict[str, str]:
    rows = _rows("phi-notes/notes.jsonl")
    marked = sum(len(row["spans"]) for row in rows)
    without = sum(not row["spans"] for row in rows)
    return {
        "title": "Notes with planted identifiers",
        "what": f"{len(rows)} short synthetic notes and reports with {marked} labelled identifiers of the 18 HIPAA kinds; "
        f"{without} notes without any.",
        "how_made": "Written by hand for radrag together with the labels, before the rules that find identifiers; every "
        "person in them is invented.",
    }


def _claims() -> dict[str, str]:
    parts = {split: _rows(f"claims/{split}.jsonl") for split in ("development", "test")}
    counts = ", ".join(f"{len(rows):,} ({split})" for split, rows in parts.items())
    documents = len({row["document_id"] for rows in parts.values() for row in rows})
    return {
        "title": "Claims about documents",
        "what": f"Claims in words of their own about {documents} documents, half supported and half not: {counts}; no "
        "document in both.",
        "how_made": "Written by hand for radrag from shipped digests and from abstracts of PubMed, which do not ship; "
        "true and false ones kept alike in length, negation and words shared with the document; the test claims "
        "labelled a second time blind.",
    }


CARDS = {
    "protocols": _protocols,
    "evidence": _evidence,
    "protocol-notes": _notes,
    "reports": _reports,
    "questions": _questions,
    "phi-notes": _phi_notes,
    "claims": _claims,
}


def main() -> None:
    """Make the training notes and write every card."""
    subprocess.run([sys.executable, str(HERE / "protocol-notes" / "build.py")], check=True)
    for name, facts in CARDS.items():
        card = write_card(HERE / name, name=name, licence="Apache-2.0", limits=LIMITS, version=VERSION, **facts())
        print(f"{name}: {card.records} records in {len(card.files)} files")


if __name__ == "__main__":
    main()
