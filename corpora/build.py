"""Rebuild everything under corpora/ that is made, and write the data cards.

Run it from anywhere: python corpora/build.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from radrag.corpora import write_card

HERE = Path(__file__).resolve().parent
LIMITS = "Written for software demonstration; not reviewed by clinicians; not clinical guidance."
CARDS = {
    "protocols": {
        "title": "Imaging protocols",
        "what": "30 adult imaging protocols (CT, MR, US, NM, PET/CT), a Markdown page each, with seven sections and front matter.",
        "how_made": "Written for radrag in its own words from general radiology practice, then read a second time for errors.",
    },
    "evidence": {
        "title": "Evidence digests",
        "what": "76 digests of published studies under their true PMIDs, weighted to imaging and acute care; one retracted.",
        "how_made": "Written for radrag in its own words from the records named in each digest; numbers, titles and years "
        "checked against the record by tests/corpora/test_evidence_corpus.py.",
    },
    "protocol-notes": {
        "title": "Order notes with protocol labels",
        "what": "4,000 made order notes for training (train.jsonl) and 180 written by hand for testing (test.jsonl), 30 labels.",
        "how_made": "train.jsonl by build.py from parts/*.yaml, seed 0; test.jsonl by hand, without sight of the parts, and "
        "never changed after a score was seen.",
    },
    "questions": {
        "title": "Questions over the shipped corpora",
        "what": "95 questions: 69 answerable with gold spans (31 of them yes/no/maybe), 26 that the corpora cannot answer.",
        "how_made": "Written for radrag by hand; gold quotes are exact slices of the protocol pages and digests.",
    },
}


def main() -> None:
    """Make the training notes and write every card."""
    subprocess.run([sys.executable, str(HERE / "protocol-notes" / "build.py")], check=True)
    for name, facts in CARDS.items():
        card = write_card(HERE / name, name=name, licence="Apache-2.0", limits=LIMITS, version="1", **facts)
        print(f"{name}: {card.records} records in {len(card.files)} files")


if __name__ == "__main__":
    main()
