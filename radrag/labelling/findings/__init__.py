"""What reports say about findings: sections, words, cues and their reach, and what labelled reports add."""

from __future__ import annotations

from radrag.labelling.findings.lexicon import Entry, Lexicon, read_lexicon, shipped_lexicon
from radrag.labelling.findings.reader import FindingReader
from radrag.labelling.findings.sections import Part, Role, join_sections, split_report

__all__ = [
    "Entry",
    "FindingReader",
    "Lexicon",
    "Part",
    "Role",
    "join_sections",
    "read_lexicon",
    "shipped_lexicon",
    "split_report",
]
