from __future__ import annotations

import gzip
import hashlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import DataCard, load_card, verify, write_card
from radrag.errors import CorpusError

WORDS = {
    "name": "demo",
    "title": 'A "demo" corpus',
    "what": "Two\nlines, a \\ and é.",
    "how_made": "By hand.",
    "licence": "CC0",
    "limits": "Not clinical guidance.",
    "version": "1",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "a.jsonl").write_text('{"id": "1"}\n\n{"id": "2"}\n', encoding="utf-8")
    (tmp_path / "b.md").write_text("# B\n", encoding="utf-8")
    (tmp_path / "parts" / "c.csv.gz").write_bytes(gzip.compress(b'x,y\n1,"two\nlines"\n', mtime=0))
    (tmp_path / "parts" / "d.yaml").write_text("x: 1\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("Read me.\n", encoding="utf-8")
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"\0")
    return tmp_path


def test_write_and_load(corpus: Path) -> None:
    card = write_card(corpus, **WORDS)
    names = ["a.jsonl", "b.md", "parts/c.csv.gz", "parts/d.yaml"]
    hashes = {name: hashlib.sha256((corpus / name).read_bytes()).hexdigest() for name in names}
    assert card == load_card(corpus) == DataCard(**WORDS, records=4, files=hashes)
    assert verify(corpus) == []
    assert tomllib.loads((corpus / "card.toml").read_text(encoding="utf-8")) == {**WORDS, "records": 4, "files": hashes}
    assert sorted(path.name for path in corpus.iterdir()) == [
        "README.md", "__pycache__", "a.jsonl", "b.md", "card.toml", "parts"
    ]  # fmt: skip


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_words_survive(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("card")
    assert write_card(folder, **{**WORDS, "what": text}) == load_card(folder)
    assert load_card(folder).what == text


def test_every_kind_of_problem_is_named(corpus: Path) -> None:
    write_card(corpus, **WORDS)
    (corpus / "a.jsonl").write_text('{"id": "1"}\n', encoding="utf-8")
    (corpus / "b.md").unlink()
    (corpus / "new.md").write_text("", encoding="utf-8")
    changed = hashlib.sha256(b'{"id": "1"}\n').hexdigest()
    problems = verify(corpus)
    assert [problem.split(",")[0] for problem in problems] == [
        "a.jsonl: changed", "b.md: missing", "new.md: not in the card", "records: found 3"
    ]  # fmt: skip
    assert changed in problems[0]


def test_records_that_cannot_be_counted(corpus: Path) -> None:
    write_card(corpus, **WORDS)
    (corpus / "a.jsonl").write_text("{", encoding="utf-8")
    assert [p.split(":")[0] for p in verify(corpus)] == ["a.jsonl", "records"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("records = 4", 'records = "4"'), "field records: expected int"),
        (("records = 4", "records = true"), "field records: expected int"),
        (('licence = "CC0"\n', ""), "field licence: the field is missing"),
        (("records = 4", "records = 4\nextra = 1"), "field extra"),
        (('licence = "CC0"', "licence = CC0"), "not TOML"),
    ],
)
def test_a_card_that_cannot_be_used(corpus: Path, change: tuple[str, str], message: str) -> None:
    write_card(corpus, **WORDS)
    card = corpus / "card.toml"
    card.write_text(card.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(CorpusError, match=message) as caught:
        load_card(corpus)
    assert caught.value.file == str(card)


def test_no_card_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no data card"):
        verify(tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        write_card(tmp_path / "x", **WORDS)


def test_a_failed_write_leaves_the_old_card(corpus: Path) -> None:
    old = write_card(corpus, **WORDS)
    with pytest.raises(UnicodeEncodeError):
        write_card(corpus, **{**WORDS, "what": "half a pair \ud800"})
    assert load_card(corpus) == old
    assert verify(corpus) == []
