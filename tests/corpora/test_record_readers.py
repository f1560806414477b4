from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import Fields, read_csv, read_jsonl, read_labelled_notes, read_questions
from radrag.errors import CorpusError
from radrag.types import Document, GoldSpan, LabelledNote, Question


def write(path: Path, content: str | bytes) -> Path:
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def jsonl(path: Path, *records: Any) -> Path:
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz"])
def test_documents_from_json_lines(tmp_path: Path, name: str) -> None:
    path = jsonl(tmp_path / name, {"id": "a", "text": "é\n", "title": "T", "year": 2020}, {"id": 7, "text": ""})
    assert list(read_jsonl(path)) == [
        Document("a", "é\n", title="T", metadata={"year": 2020}),
        Document("7", ""),
    ]


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz"])
def test_documents_from_csv(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, '\ufeffid,text,title,year\r\na,"one, ""two""\r\nthree",T,2020\r\n\r\nb,x,,\r\n')
    assert list(read_csv(path)) == [
        Document("a", 'one, "two"\r\nthree', title="T", metadata={"year": 2020}),
        Document("b", "x", metadata={"year": None}),
    ]


def test_what_a_column_says_of_retraction_is_a_boolean(tmp_path: Path) -> None:
    said = {"False": False, "no": False, "0": False, "": False, "TRUE": True, " yes": True, "1": True}
    path = write(tmp_path / "d.csv", "id,text,retracted\n" + "".join(f"{n},x,{v}\n" for n, v in enumerate(said)))
    assert [document.metadata["retracted"] for document in read_csv(path)] == list(said.values())
    records = [{"id": str(number), "text": "x", "retracted": value} for number, value in enumerate([*said, True, 0])]
    found = [document.metadata["retracted"] for document in read_jsonl(jsonl(tmp_path / "d.jsonl", *records))]
    assert found == [*said.values(), True, False]
    assert all(isinstance(one, bool) for one in found)
    (one,) = read_jsonl(jsonl(tmp_path / "null.jsonl", {"id": "a", "text": "x", "retracted": None}))
    assert one.metadata == {"retracted": None}


@pytest.mark.parametrize("value", ["n", "not retracted", "2020-01-05", "nan"])
def test_what_cannot_be_told_of_retraction_is_refused(tmp_path: Path, value: str) -> None:
    path = write(tmp_path / "d.csv", f"id,text,retracted\na,x,no\nb,x,{value}\n")
    with pytest.raises(CorpusError, match=f"field retracted: expected true, yes or 1, .* got '{value}'") as caught:
        list(read_csv(path))
    assert (caught.value.record, caught.value.field) == (3, "retracted")


def test_a_year_is_a_number(tmp_path: Path) -> None:
    years = {"2020": 2020, "2020.0": 2020, " 2019.00": 2019, "": None}
    path = write(tmp_path / "d.csv", "id,text,year\n" + "".join(f"{n},x,{year}\n" for n, year in enumerate(years)))
    assert [document.metadata["year"] for document in read_csv(path)] == list(years.values())
    records = [{"id": str(n), "text": "x", "year": year} for n, year in enumerate([*years, 2020, 2020.0, None])]
    found = [document.metadata["year"] for document in read_jsonl(jsonl(tmp_path / "d.jsonl", *records))]
    assert found == [*years.values(), 2020, 2020, None]
    assert not any(isinstance(year, float) for year in found)


@pytest.mark.parametrize("value", ["2020-05-01", "c2020", "2020.5", "20", "nan", "٢٠٢٠"])
def test_what_is_no_year_is_refused(tmp_path: Path, value: str) -> None:
    path = write(tmp_path / "d.csv", f"id,text,Year\na,x,2020\nb,x,{value}\n")
    with pytest.raises(CorpusError, match=f"field Year: expected a year of four digits, .* got '{value}'") as caught:
        list(read_csv(path))
    assert (caught.value.record, caught.value.field) == (3, "Year")
    with pytest.raises(CorpusError, match="got True"):
        list(read_jsonl(jsonl(tmp_path / "d.jsonl", {"id": "a", "text": "x", "year": True})))


def test_fields_that_an_index_knows_are_read_in_capitals_too(tmp_path: Path) -> None:
    content = "id,text,PMID,DOI,Year,Retracted,Site\na,x,111,10.1000/A,2020.0,Yes,X\n"
    (one,) = read_csv(write(tmp_path / "d.csv", content))
    assert one.metadata == {"pmid": "111", "doi": "10.1000/A", "year": 2020, "retracted": True, "Site": "X"}
    (one,) = read_jsonl(jsonl(tmp_path / "d.jsonl", {"id": "a", "text": "x", "Pmid": 111, "DOI": ["10.1000/A"]}))
    assert one.metadata == {"pmid": 111, "doi": ["10.1000/A"]}
    (one,) = read_csv(tmp_path / "d.csv", Fields(id="PMID", metadata=("DOI",)))
    assert (one.id, one.metadata) == ("111", {"doi": "10.1000/A"})


def test_two_columns_that_differ_in_capitals_only_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "id,text,doi,DOI\na,x,10.1000/a,10.1000/b\n")
    with pytest.raises(CorpusError, match="field DOI: there is another field 'doi', in capitals or not; rename"):
        list(read_csv(path))
    path = write(tmp_path / "sites.csv", "id,text,site,Site\na,x,1,2\n")
    assert next(read_csv(path)).metadata == {"site": "1", "Site": "2"}


def test_publication_types_in_one_text_are_cut(tmp_path: Path) -> None:
    said = ["Journal Article; Retracted Publication", "Review|Journal Article ", "Editorial", ""]
    path = write(
        tmp_path / "d.csv", "id,text,publication_types\n" + "".join(f"{n},x,{v}\n" for n, v in enumerate(said))
    )
    assert [document.metadata["publication_types"] for document in read_csv(path)] == [
        ["Journal Article", "Retracted Publication"],
        ["Review", "Journal Article"],
        ["Editorial"],
        [],
    ]
    (one,) = read_jsonl(jsonl(tmp_path / "d.jsonl", {"id": "a", "text": "x", "publication_types": ["A; B"]}))
    assert one.metadata == {"publication_types": ["A; B"]}


def test_fields_name_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "r.csv", "acc;report;head;age;site\n1;Text.;H;50;X\n")
    fields = Fields(id="acc", text="report", title="head", kind="note", metadata=("age",))
    assert list(read_csv(path, fields, delimiter=";")) == [Document("1", "Text.", "H", "note", (), {"age": "50"})]


def test_records_without_ids_are_numbered_by_line(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "reports.v2.jsonl", {"text": "a"}, {"text": "b"})
    assert [d.id for d in read_jsonl(path, Fields(id=None))] == ["reports:1", "reports:2"]


GOOD = b'{"id": "a", "text": "x"}\n'
BAD_JSON = {
    "bad JSON": (b'{"id": "b", "text": ', "not a JSON object on one line", None),
    "no object": (b'["b"]', "expected a JSON object, got list", None),
    "missing text": (
        b'{"id": "b", "note": "x"}',
        "field text: the field is missing, expected it beside 'id', 'note'",
        "text",
    ),
    "text of the wrong type": (b'{"id": "b", "text": 5}', "field text: expected a string, got int 5", "text"),
    "null text": (b'{"id": "b", "text": null}', "expected a string, got NoneType", "text"),
    "title of the wrong type": (b'{"id": "b", "text": "x", "title": 5}', "field title", "title"),
    "missing id": (b'{"text": "x"}', "field id: the field is missing", "id"),
    "empty id": (b'{"id": " ", "text": "x"}', "field id: is empty", "id"),
    "id of the wrong type": (b'{"id": true, "text": "x"}', "expected a string, got bool", "id"),
    "id used twice": (b'{"id": "a", "text": "y"}', "the id 'a' was used on line 1 already", "id"),
    "key given twice": (b'{"id": "b", "text": "x", "text": "y"}', "the key 'text' occurs twice", None),
    "not a number": (b'{"id": "b", "text": "x", "v": NaN}', "NaN is not JSON", None),
    "not UTF-8": (b'{"id": "b", "text": "\xe9"}', "byte 0xe9 is not UTF-8", None),
    "NUL": (b'{"id": "b", "text": "\0"}', "NUL character", None),
    "escaped NUL": (b'{"id": "b", "text": "\\u0000"}', "NUL character", None),
    "half a surrogate pair": (b'{"id": "b", "text": "\\ud83d"}', "half of a surrogate pair", None),
    "endless nesting": (b"[" * 100_000, "not a JSON object on one line", None),
}


@pytest.mark.parametrize(("line", "message", "field"), BAD_JSON.values(), ids=BAD_JSON.keys())
def test_json_lines_errors_name_file_line_and_field(
    tmp_path: Path, line: bytes, message: str, field: str | None
) -> None:
    path = write(tmp_path / "d.jsonl", GOOD + b"\n" + line + b"\n")
    documents = read_jsonl(path)
    assert next(documents).id == "a"
    with pytest.raises(CorpusError, match=message) as caught:
        next(documents)
    assert (caught.value.file, caught.value.record, caught.value.field) == (str(path), 3, field)


def test_surrogate_pairs_and_escapes_that_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", b'{"id": "a", "text": "\\ud83d\\ude00 \\\\ud8 \\u00e9"}')
    assert next(read_jsonl(path)).text == "😀 \\ud8 é"


BAD_CSV = {
    "too few columns": ("id,text\na,x\nb\n", 3, "has 1 columns, expected 2"),
    "too many columns": ("id,text\na,x,y\n", 2, "has 3 columns, expected 2"),
    "no such column": ("id,note\na,x\n", 2, "field text: the field is missing"),
    "column named twice": ("id,text,text\n", 1, "field text: the header names this column twice"),
    "open quote": ('id,text\na,"x\n\ny', 2, "not valid CSV"),
    "quote inside": ('id,text\na,"x"y\n', 2, "not valid CSV"),
    "after a cell of two lines": ('id,text\na,"x\ny"\nb\n', 4, "has 1 columns"),
    "empty file": ("", None, "no header"),
    "old Mac line ends": ("id,text\ra,x\r", 1, "not valid CSV"),
}


@pytest.mark.parametrize(("content", "record", "message"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_csv_errors_name_file_and_line(tmp_path: Path, content: str, record: int | None, message: str) -> None:
    path = write(tmp_path / "d.csv", content)
    with pytest.raises(CorpusError, match=message) as caught:
        list(read_csv(path))
    assert (caught.value.file, caught.value.record) == (str(path), record)


def test_a_title_or_metadata_column_that_was_named_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "id,text\na,x\n")
    for fields in (Fields(title="headline"), Fields(metadata=("headline",))):
        with pytest.raises(CorpusError, match="field headline"):
            list(read_csv(path, fields))


@pytest.mark.parametrize("cut", [5, 30, -9, -1])
def test_gzip_that_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "d.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD * 50)[:cut])
    with pytest.raises(CorpusError, match=r"cut off or damaged|used on line 1") as caught:
        list(read_jsonl(path))
    assert caught.value.file == str(path)
    with pytest.raises(CorpusError, match="cut off or damaged"):
        list(read_labelled_notes(write_cut(tmp_path / "n.jsonl.gz", cut)))


def write_cut(path: Path, cut: int) -> Path:
    path.write_bytes(gzip.compress(b'{"text": "x", "label": "y"}\n' * 50)[:cut])
    return path


@pytest.mark.parametrize("reader", [read_jsonl, read_csv, read_questions])
def test_no_such_file(tmp_path: Path, reader: Callable[[Path], Iterator[object]]) -> None:
    for path in (tmp_path / "x.csv", tmp_path):
        with pytest.raises(CorpusError, match="no such file"):
            list(reader(path))


def test_labelled_notes_from_what_users_have(tmp_path: Path) -> None:
    path = write(tmp_path / "n.csv", "note,protocol,mrn\nr/o PE,ct-pa,7\nr/o PE,ct-pa,7\n")
    notes = read_labelled_notes(path, text="note", label="protocol", group="mrn")
    assert list(notes) == [LabelledNote("r/o PE", "ct-pa", group="7")] * 2


def test_labelled_notes_with_all_their_fields(tmp_path: Path) -> None:
    record = {"text": "x", "label": 3, "id": "t1", "group": "g", "also": ["a", "b"], "voice": "ed"}
    path = jsonl(tmp_path / "n.jsonl", record, {"text": "y", "label": "l", "also": None, "id": ""})
    assert list(read_labelled_notes(path)) == [
        LabelledNote("x", "3", "t1", "g", ("a", "b")),
        LabelledNote("y", "l"),
    ]
    path = write(tmp_path / "n.csv", "text,label,also\nx,l,a; b\ny,l,\n")
    assert [note.also for note in read_labelled_notes(path)] == [("a", "b"), ()]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": " ", "label": "l"}, "field text: is empty"),
        ({"text": "x", "label": ""}, "field label: is empty"),
        ({"text": "x"}, "field label: the field is missing"),
        ({"text": "x", "label": "l", "also": [1]}, "field also: expected labels"),
        ({"text": "x", "label": "l", "also": "a;;b"}, "field also: expected labels"),
        ({"text": "x", "label": "l", "id": "1"}, "the id '1' was used on line 1"),
        ({"text": "x", "label": "l", "id": ["1"]}, "field id: expected a string, got list"),
        ({"text": "x", "label": "l", "group": 1.5}, "field group: expected a string, got float"),
    ],
)
def test_labelled_notes_that_are_refused(tmp_path: Path, record: dict[str, object], message: str) -> None:
    path = jsonl(tmp_path / "n.jsonl", {"text": "x", "label": "l", "id": "1"}, record)
    with pytest.raises(CorpusError, match=message) as caught:
        list(read_labelled_notes(path))
    assert caught.value.record == 2


@pytest.mark.parametrize("option", ["id", "group", "also", "text", "label"])
def test_a_column_that_was_named_must_be_there(tmp_path: Path, option: str) -> None:
    path = write(tmp_path / "n.csv", "text,label\nx,l\n")
    with pytest.raises(CorpusError, match="field typo: the field is missing"):
        list(read_labelled_notes(path, **{option: "typo"}))


def test_a_file_of_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"'n\.xlsx', expected \.csv or \.jsonl"):
        list(read_labelled_notes(write(tmp_path / "n.xlsx", "x")))


def test_questions(tmp_path: Path) -> None:
    gold = {"document_id": "d", "start": 3, "end": 6, "quote": "abc"}
    full = {"id": "q1", "question": "Is it?", "type": "yesno", "verdict": "no", "answer": "No.", "gold": [gold]}
    path = jsonl(tmp_path / "q.jsonl", full, {"id": "q2", "question": "Why?", "answerable": False, "verdict": None})
    assert list(read_questions(path)) == [
        Question("q1", "Is it?", "yesno", "no", "No.", (GoldSpan("d", 3, 6, "abc"),)),
        Question("q2", "Why?", answerable=False),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"question": ""}, "field question: is empty"),
        ({"type": "essay"}, "field type: expected one of yesno, factoid, list, summary, got 'essay'"),
        ({"verdict": "perhaps"}, "field verdict: expected one of yes, no, maybe"),
        ({"answer": 3}, "field answer"),
        ({"answerable": "no"}, "field answerable: expected true or false"),
        ({"gold": "d"}, "field gold: expected a list"),
        ({"gold": ["d"]}, "field gold: expected objects"),
        ({"gold": [{"document_id": "d", "start": 0, "quote": "a"}]}, r"field gold\.end: the field is missing"),
        ({"gold": [{"document_id": "d", "start": -1, "end": 0, "quote": "a"}]}, r"field gold\.start: .*at least 0"),
        ({"gold": [{"document_id": "d", "start": 0, "end": 2, "quote": "a"}]}, "spans 2 characters, .* quote has 1"),
    ],
)
def test_questions_that_are_refused(tmp_path: Path, values: dict[str, object], message: str) -> None:
    path = jsonl(tmp_path / "q.jsonl", {"id": "q", "question": "Why?", **values})
    with pytest.raises(CorpusError, match=message):
        list(read_questions(path))


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
RECORDS = st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=8)


@given(RECORDS, st.booleans())
def test_json_lines_round_trip(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, ...]], raw: bool
) -> None:
    path = tmp_path_factory.mktemp("r") / "d.jsonl"
    values = [dict(id=str(i), text=a, title=b, extra=c) for i, (a, b, c) in enumerate(records)]
    write(path, "".join(json.dumps(value, ensure_ascii=raw) + "\n" for value in values))
    found = [dict(id=d.id, text=d.text, title=d.title, extra=d.metadata["extra"]) for d in read_jsonl(path)]
    assert found == values


@given(RECORDS)
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, ...]]) -> None:
    path = tmp_path_factory.mktemp("r") / "d.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("id", "text", "title", "extra")])
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows((str(i), *record) for i, record in enumerate(records))
    found = [(d.text, d.title, d.metadata["extra"]) for d in read_csv(path)]
    assert found == records
