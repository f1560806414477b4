"""The list of ordinary words, made from the shipped corpora: python -m radrag.corpora.deidentify.vocabulary.

A capital letter says little in a note; that a word also occurs in lower case in text without names says that it is no
name. The notes with planted identifiers are not among the sources.
"""

from __future__ import annotations

import re

from radrag.corpora.deidentify.lexicon import ASSETS, is_clinical, is_name, listed
from radrag.corpora.shipped import load_evidence, load_notes, load_protocols, load_questions, load_reports

_LOWER = re.compile(r"(?<![\w'’-])[a-z]{2,}(?!\w|['’](?!s))")


def ordinary_words() -> list[str]:
    """Return the words in lower case of the shipped corpora, sorted.

    Order notes are partly written without capitals, so a name that occurs in no other corpus is left out.
    """
    prose = [document.text for document in [*load_protocols(), *load_evidence()]]
    prose += [report.text for report in load_reports()] + [question.text for question in load_questions()]
    notes = [note.text for split in ("train", "calibration", "test") for note in load_notes(split)]
    sure = {word for text in prose for word in _LOWER.findall(text)}
    rest = {word for text in notes for word in _LOWER.findall(text)}
    kept = {word for word in rest if not is_name(word) and not is_clinical(word)}
    return sorted((sure | kept) - listed("common") - {word for word in sure if is_clinical(word) and is_name(word)})


if __name__ == "__main__":
    (ASSETS / "words.txt").write_text("\n".join(ordinary_words()) + "\n", encoding="utf-8")
