from pathlib import Path

import pytest

from radrag.corpora import corpus_folder, read_markdown
from radrag.errors import CorpusError
from radrag.labelling import LabelSet
from radrag.types import Document, Label


def _csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_all_columns(tmp_path: Path) -> None:
    labels = LabelSet.from_csv(_csv(tmp_path, "id,name,definition,synonyms\nct-u,CT urography,Kidneys,CTU; CT IVU ;\n"))
    assert list(labels) == [Label("ct-u", "CT urography", "Kidneys", ("CTU", "CT IVU"))]


def test_csv_with_own_columns_and_none_of_the_optional(tmp_path: Path) -> None:
    path = _csv(tmp_path, "code,title,what\n1,One,first\n2,Two,second\n")
    labels = LabelSet.from_csv(path, id="code", name="title", definition="what")
    assert labels.ids == ("1", "2")
    assert labels["2"] == Label("2", "Two", "second")
    assert LabelSet.from_csv(path, id="code", name="title")["1"].definition == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,name\na,A\na,B\n", r"labels\.csv, record 3, field id: the id 'a' occurs twice"),
        ("id,title\na,A\n", r"record 2, field name: the field is missing"),
        ("id,name\n,A\n", r"record 2, field id: is empty"),
        ("id,name\n", "holds no label"),
        ("id,name\na,A,b\n", "record 2: has 3 columns"),
    ],
)
def test_csv_errors_name_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        LabelSet.from_csv(_csv(tmp_path, text))


def test_csv_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="field what: the field is missing"):
        LabelSet.from_csv(_csv(tmp_path, "id,name\na,A\n"), definition="what")


def test_protocols() -> None:
    labels = LabelSet.from_protocols(read_markdown(corpus_folder("protocols")))
    assert len(labels) == 104
    urography = labels["ct-urography"]
    assert urography.name == "CT urography"
    assert urography.definition.startswith("Multiphase CT of the kidneys")
    assert urography.synonyms[-2:] == ("CTU", "CT IVU")
    assert "CT urogram" in urography.synonyms


def test_protocol_with_odd_metadata_is_named() -> None:
    with pytest.raises(CorpusError, match="record x, field synonyms: expected a list of names"):
        LabelSet.from_protocols([Document("x", "text", metadata={"synonyms": "one"})])


def test_constructor_refuses_what_cannot_be_a_set() -> None:
    with pytest.raises(ValueError, match="'a' occurs twice"):
        LabelSet([Label("a"), Label("a")])
    with pytest.raises(ValueError, match="not blank, got ' '"):
        LabelSet([Label(" ")])
    with pytest.raises(ValueError, match="at least 1 label"):
        LabelSet([])
    with pytest.raises(KeyError, match="no label 'b' among a"):
        LabelSet([Label("a")])["b"]


def test_fingerprint_follows_content_and_order() -> None:
    one, other = Label("a", "A"), Label("b", "B")
    assert LabelSet([one, other]) == LabelSet([one, other])
    prints = {LabelSet(x).fingerprint for x in ([one, other], [other, one], [one], [one, Label("b", "C")])}
    assert len(prints) == 4
    assert all(len(value) == 64 for value in prints)
