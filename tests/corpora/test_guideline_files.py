from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import chunk, read_markdown, read_text
from radrag.errors import CorpusError
from radrag.types import Document

GUIDELINE = """---
id: ct-urography
title: CT urography
reviewed: 2024-05-01
synonyms: [CTU, "CT IVP"]
dose: {low: 1.5, unit: mSv}
---
Intro.

# CT urography

## Safety ##
Check eGFR.

```text
# not a heading
```
### Metformin
Withhold it.

## Empty
# Second
Last.
"""


def one(path: Path, content: str | bytes) -> Document:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (document,) = read_markdown(path)
    return document


def test_a_guideline(tmp_path: Path) -> None:
    document = one(tmp_path / "g.md", GUIDELINE)
    assert document.text == GUIDELINE.split("---\n", 2)[2]
    assert (document.id, document.title, document.kind) == ("ct-urography", "CT urography", "guideline")
    assert document.metadata == {
        "reviewed": "2024-05-01",
        "synonyms": ["CTU", "CT IVP"],
        "dose": {"low": 1.5, "unit": "mSv"},
    }
    assert [(s.path, document.text[s.start : s.end]) for s in document.sections] == [
        (("CT urography", "Safety"), "Check eGFR.\n\n```text\n# not a heading\n```"),
        (("CT urography", "Safety", "Metformin"), "Withhold it."),
        (("Second",), "Last."),
    ]


def test_its_passages_carry_the_whole_path_and_leave_headings_out(tmp_path: Path) -> None:
    passages = list(chunk(one(tmp_path / "g.md", GUIDELINE)))
    assert [(p.path, p.text.split("\n")[0]) for p in passages] == [
        ((), "Intro.\n\n# CT urography\n\n## Safety ##".split("\n")[0]),
        (("CT urography", "Safety"), "Check eGFR."),
        (("CT urography", "Safety", "Metformin"), "Withhold it."),
        (("Second",), "Last."),
    ]


def test_names_come_from_file_and_heading_where_there_is_no_front_matter(tmp_path: Path) -> None:
    document = one(tmp_path / "mr-knee.md", "## First\nText\n# MR knee\n")
    assert (document.id, document.title, document.metadata) == ("mr-knee", "MR knee", {})
    assert [s.path for s in document.sections] == [("First",)]


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    document = one(tmp_path / "g.md", b"\xef\xbb\xbf---\r\nid: a\r\n---\r\n# T\r\nOne\rTwo\r\n")
    assert (document.id, document.text) == ("a", "# T\nOne\nTwo\n")


@pytest.mark.parametrize("body", ["", "---", "--- text ---\n", "no front\n---\nid: x\n---\n"])
def test_what_only_looks_like_front_matter(tmp_path: Path, body: str) -> None:
    if body == "---":
        with pytest.raises(CorpusError, match="no closing"):
            one(tmp_path / "g.md", body)
    else:
        assert one(tmp_path / "g.md", body).text == body


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("id: [unclosed", "not YAML"),
        ("- a list", "must be a mapping"),
        ("1: number as a name", "must be a mapping"),
        ("id: 7", "field id: expected a string, got 7"),
        ("id: ''", "field id"),
        ("title: [a]", "field title"),
        ("a: 1\na: 2", "given twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!set {x}", "field a"),
        ("a: {b: [.nan]}", r"field a\.b"),
        ("a: !!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_front_matter_that_is_refused(tmp_path: Path, front: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        one(tmp_path / "g.md", f"---\n{front}\n---\nText\n")
    assert caught.value.file == str(tmp_path / "g.md")


@pytest.mark.parametrize(("content", "message"), [(b"ok\n\xff\xfe", "record 2.*0xff is not UTF-8"), (b"a\0b", "NUL")])
def test_bytes_that_are_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        one(tmp_path / "g.md", content)


def test_a_folder_is_read_in_order_without_its_readme(tmp_path: Path) -> None:
    for name in ("b.md", "a.md", "README.md", "c.txt"):
        (tmp_path / name).write_text(f"# {name}\n", encoding="utf-8")
    assert [document.id for document in read_markdown(tmp_path)] == ["a", "b"]
    assert [(d.id, d.kind, d.text) for d in read_text(tmp_path)] == [("c", "text", "# c.txt\n")]


def test_an_id_used_by_two_files(tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("---\nid: same\n---\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"b\.md, field id: the id 'same' is used by .*a\.md"):
        list(read_markdown(tmp_path))


def test_a_folder_without_guidelines_or_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no \.md files"):
        list(read_markdown(tmp_path))
    with pytest.raises(CorpusError, match="no such file"):
        list(read_markdown(tmp_path / "x.md"))


LINES = st.lists(st.sampled_from(["# A", "## B", "### C", "text here.", "", "```", "~~~", "   # D #", "####### no"]))


@given(LINES)
def test_sections_of_any_markdown(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    body = "\n".join(lines)
    document = one(tmp_path_factory.mktemp("md") / "g.md", body)
    assert document.text == body
    passages = list(chunk(document))
    words = " ".join(p.text for p in passages).split()
    assert words.count("here.") == sum(line == "text here." for line in lines)
    for section in document.sections:
        assert section.path
        assert body[section.start : section.end].strip() == body[section.start : section.end] != ""
