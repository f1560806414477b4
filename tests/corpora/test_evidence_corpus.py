"""Checks of the evidence corpus: its form, and its agreement with the records that it digests."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import defusedxml.ElementTree as DefusedET
import pytest

from radrag.corpora.reports import read_conflicts

ROOT = Path(__file__).resolve().parents[2]
DIGESTS = ROOT / "corpora" / "evidence" / "digests.jsonl"
DATA = Path(os.environ.get("RADRAG_DATA") or ROOT.parent / "shared" / "data")
KEYS = ["id", "pmid", "title", "year", "doi", "journal", "design", "retracted", "source", "text"]
DESIGNS = {
    "systematic review",
    "randomised trial",
    "cohort",
    "case-control",
    "cross-sectional",
    "diagnostic accuracy",
    "case series",
    "case report",
    "laboratory",
    "qualitative",
    "other",
}
RETRACTED = {"993"}
RUN = 12
NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
        "nineteen twenty".split(),
        start=3,
    )
} | {
    word: str(value)
    for word, value in zip(
        "thirty forty fifty sixty seventy eighty ninety hundred thousand".split(),
        (30, 40, 50, 60, 70, 80, 90, 100, 1000),
        strict=True,
    )
}
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no development data in {DATA}; set RADRAG_DATA")


@dataclass(frozen=True)
class SourceRecord:
    """What a source file states about one article."""

    title: str
    abstract: str
    year: int | None = None
    doi: str | None = None
    journal: str | None = None
    retracted: bool = False

    @property
    def all_text(self) -> str:
        """The text in which every number of a digest must be found."""
        return f"{self.title} {self.abstract} {self.year or ''}"


@cache
def load_digests() -> list[dict[str, Any]]:
    """Reads the corpus, one JSON object a line."""
    return [json.loads(line) for line in DIGESTS.read_text(encoding="utf-8").splitlines()]


def read_xml(path: Path) -> dict[str, SourceRecord]:
    """Reads the articles of a PubMed XML file.

    Args:
        path: The file, gzipped or not.

    Returns:
        The records by PMID.
    """
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    records: dict[str, SourceRecord] = {}
    for node in DefusedET.fromstring(raw).iter("PubmedArticle"):
        article = node.find("MedlineCitation/Article")
        year = article.findtext("Journal/JournalIssue/PubDate/Year")
        ids = node.findall("PubmedData/ArticleIdList/ArticleId")
        records[node.findtext("MedlineCitation/PMID")] = SourceRecord(
            title="".join(article.find("ArticleTitle").itertext()),
            abstract=" ".join("".join(part.itertext()) for part in article.iter("AbstractText")),
            year=int(year) if year else None,
            doi=next((one.text for one in ids if one.get("IdType") == "doi"), None),
            journal=article.findtext("Journal/Title"),
            retracted=any(kind.text == "Retracted Publication" for kind in article.iter("PublicationType")),
        )
    return records


def read_json_lines(path: Path) -> dict[str, SourceRecord]:
    """Reads a gzipped JSON Lines file of abstracts.

    Args:
        path: The file.

    Returns:
        The records by PMID; those without PMID or title, or of another kind than abstracts, are left out.
    """
    records: dict[str, SourceRecord] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["pmid"] and row["title"] and row.get("kind", "abstract") == "abstract":
                records[row["pmid"]] = SourceRecord(
                    title=row["title"],
                    abstract=row.get("abstract") or row.get("text") or "",
                    year=int(row["year"]) if row.get("year") else None,
                    doi=row.get("doi"),
                    journal=row.get("journal"),
                )
    return records


@cache
def read_source(name: str) -> dict[str, SourceRecord]:
    """Reads a source file of the development data by its basename."""
    path = next(path for path in (DATA / name, DATA / "pubmed_xml" / name) if path.is_file())
    return read_json_lines(path) if ".jsonl" in path.name else read_xml(path)


def normalise(text: str) -> str:
    """Unifies dashes, decimal points and thousands, and undoes tokenised spacing."""
    text = re.sub("[\u2010-\u2015\u2212]", "-", text).replace("\u00b7", ".")
    text = re.sub(r"(?<=\d)\s+\.\s+(?=\d)", ".", text)
    text = re.sub(r"\s+(?=[,.;:)\]%])", "", text)
    text = re.sub(r"(?<=[(\[])\s+", "", text)
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)


def number_tokens(text: str) -> set[str]:
    """Lists the numbers of a text; a number is signed where a minus stands before it and no range ends there."""
    text = normalise(text)
    tokens = set()
    for match in re.finditer(r"\d+(?:\.\d+)*|(?<!\d)\.\d+", text):
        before = text[max(0, match.start() - 2) : match.start()]
        negative = before.endswith("-") and not re.fullmatch(r"[\w%)\]°]-", before)
        tokens.add(("-" if negative else "") + match.group())
    return tokens


def unsupported_numbers(text: str, source: str) -> set[str]:
    """Lists the numbers, in digits or words, that a digest has and its source does not.

    Args:
        text: The digest.
        source: All text of the record.

    Returns:
        The numbers without support; a negative number needs a negative one in the source.
    """
    known = number_tokens(source)
    known |= {token.lstrip("-") for token in known}
    source_words = set(words(source))
    spelled = {
        word
        for word in words(text)
        if word in NUMBER_WORDS and word not in source_words and NUMBER_WORDS[word] not in known
    }
    return (number_tokens(text) - known) | spelled


def words(text: str) -> list[str]:
    """Splits a text into lower-case words and whole numbers."""
    return re.findall(r"\d+(?:\.\d+)*|[^\W\d_]+", normalise(text).lower())


def shared_runs(text: str, source: str, length: int = RUN) -> list[str]:
    """Lists the runs of words that two texts share.

    Args:
        text: The digest.
        source: All text of the record.
        length: How many words make a run.

    Returns:
        Each shared run.
    """
    mine, theirs = words(text), words(source)
    known = {tuple(theirs[start : start + length]) for start in range(len(theirs) - length + 1)}
    runs = (tuple(mine[start : start + length]) for start in range(len(mine) - length + 1))
    return [" ".join(run) for run in runs if run in known]


def digest_params() -> list[Any]:
    """One test parameter for each digest."""
    return [pytest.param(digest, id=digest["pmid"]) for digest in load_digests()]


def test_every_line_is_an_object_with_the_agreed_keys_and_types() -> None:
    for digest in load_digests():
        assert list(digest) == KEYS
        assert digest["id"] == f"PMID:{digest['pmid']}"
        assert re.fullmatch(r"[1-9]\d*", digest["pmid"])
        assert digest["year"] is None or type(digest["year"]) is int
        assert digest["doi"] is None or digest["doi"].startswith("10.")
        assert digest["journal"] is None or digest["journal"].strip()
        assert type(digest["retracted"]) is bool
        assert digest["title"].strip()
        assert "/" not in digest["source"]


def test_there_are_enough_digests_and_no_pmid_comes_twice() -> None:
    pmids = [digest["pmid"] for digest in load_digests()]
    assert len(pmids) >= 300
    assert len(set(pmids)) == len(pmids)


def test_conflicts_name_digests_the_oldest_first() -> None:
    conflicts = read_conflicts(DIGESTS.with_name("conflicts.yaml"))
    digests = {digest["id"]: digest for digest in load_digests()}
    assert len(conflicts) >= 12
    assert {conflict.kind for conflict in conflicts} == {"conflict", "superseded"}
    assert len({conflict.id for conflict in conflicts}) == len(conflicts)
    for conflict in conflicts:
        assert len(set(conflict.documents)) == len(conflict.documents) >= 2
        assert set(conflict.documents) <= set(digests), conflict.id
        years = [digests[name]["year"] for name in conflict.documents]
        known = [year for year in years if year is not None]
        assert known == sorted(known), conflict.id
        assert conflict.question.endswith("?")
        assert not any(digests[name]["retracted"] for name in conflict.documents)


def test_most_digests_are_of_trials_and_all_designs_occur() -> None:
    designs = Counter(digest["design"] for digest in load_digests())
    assert designs["randomised trial"] >= 100
    assert designs["diagnostic accuracy"] >= 5
    assert len(designs) >= 8


def test_designs_are_among_the_allowed_ones() -> None:
    assert {digest["design"] for digest in load_digests()} <= DESIGNS


def test_exactly_the_retracted_article_is_marked_and_says_so() -> None:
    marked = [digest for digest in load_digests() if digest["retracted"]]
    assert {digest["pmid"] for digest in marked} == RETRACTED
    assert all("retracted" in digest["text"].lower() for digest in marked)


@pytest.mark.parametrize("digest", digest_params())
def test_text_has_80_to_150_words_of_full_sentences(digest: dict[str, Any]) -> None:
    text = digest["text"]
    assert 80 <= len(text.split()) <= 150
    assert text == " ".join(text.split())
    assert text[0].isupper()
    assert text.endswith(".")


def test_digests_do_not_all_begin_alike() -> None:
    openings = [" ".join(words(digest["text"])[:3]) for digest in load_digests()]
    assert all(openings.count(opening) <= 3 for opening in openings)


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("digest", digest_params())
def test_bibliography_equals_the_record(digest: dict[str, Any]) -> None:
    record = read_source(digest["source"])[digest["pmid"]]
    stated = {field: digest[field] for field in ("title", "year", "doi", "journal", "retracted")}
    assert stated == {field: getattr(record, field) for field in stated}


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("digest", digest_params())
def test_every_number_occurs_in_the_record(digest: dict[str, Any]) -> None:
    record = read_source(digest["source"])[digest["pmid"]]
    assert unsupported_numbers(digest["text"], record.all_text) == set()


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("digest", digest_params())
def test_no_run_of_words_is_shared_with_the_record(digest: dict[str, Any]) -> None:
    record = read_source(digest["source"])[digest["pmid"]]
    assert shared_runs(digest["text"], record.all_text) == []


@pytest.mark.parametrize(
    ("text", "source", "missing"),
    [
        ("A fall of 3.2 was seen.", "a fall of 3 . 2 ( n = 10 )", set()),
        ("It was 0.88 (0.76-1.03).", "aOR 0·88, 95% CI 0·76–1·03", set()),
        ("Of 1075 patients", "1,075 patients", set()),
        ("The difference was -1.8.", "1.8 days", {"-1.8"}),
        ("The difference was -1.8.", "(−1.8 days)", set()),
        ("Fifteen of 20", "15 of 20", set()),
        ("Sixteen of 21", "15 of 20", {"sixteen", "21"}),
    ],
)
def test_number_check_sees_a_wrong_number(text: str, source: str, missing: set[str]) -> None:
    assert unsupported_numbers(text, source) == missing


def test_run_check_sees_a_copied_run() -> None:
    source = "one two three four five six seven eight nine ten eleven twelve thirteen"
    assert shared_runs("One two, three four five six seven eight nine ten eleven twelve.", source)
    assert not shared_runs("One two, three four five six seven eight nine ten eleven, and twelve.", source)
