"""Label sets: files, validation, families, shared names, differences and stored forms."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.corpora import load_finding_sets
from radrag.errors import CorpusError
from radrag.labelling import LabelSet
from radrag.labelling.manifest import read_labels, stored_labels
from radrag.types import Document, Label

STROKE = Label("stroke", "Stroke", "Infarct or bleed", ("CVA",), "brain", ("weak arm, ?CVA", "aphasia | neglect"))
FAMILY = [Label("brain", "Brain"), STROKE, Label("lacune", "Lacune", parent="stroke"), Label("lung", "Lung")]


def _file(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_parent_and_examples(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", "id,name,parent,examples\nb,Brain,,\ns,Stroke,b,weak arm; aphasia | neglect\n")
    labels = LabelSet.from_csv(path, exclusive=False)
    assert labels["s"] == Label("s", "Stroke", parent="b", examples=("weak arm; aphasia", "neglect"))
    assert not labels.exclusive
    assert LabelSet.from_csv(path).exclusive


def test_csv_errors_of_the_set_name_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", "id,name,above\ns,Stroke,b\n")
    with pytest.raises(CorpusError, match=r"a\.csv: the parent 'b' of the label 's' is not in the set; add it"):
        LabelSet.from_csv(path, parent="above")


def test_yaml(tmp_path: Path) -> None:
    text = """
exclusive: false
labels:
  - id: stroke
    name: Stroke
    synonyms: [CVA, "brain; attack"]
    examples: ["weak arm | leg"]
  - {id: "001", parent: stroke}
"""
    labels = LabelSet.from_yaml(_file(tmp_path, "a.yaml", text))
    assert list(labels) == [
        Label("stroke", "Stroke", "", ("CVA", "brain; attack"), "", ("weak arm | leg",)),
        Label("001", parent="stroke"),
    ]
    assert not labels.exclusive
    assert LabelSet.from_yaml(_file(tmp_path, "b.yaml", "[{id: a}, {id: b}]")) == LabelSet([Label("a"), Label("b")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels: [{id: 001}]", r"a\.yaml: id of label 1 must be text, got 1; write it in quotes"),
        ("[{id: a}, {id: b, name: no}]", "name of label 2 must be text, got False; write it in quotes"),
        ("[{id: a, synonyms: CVA}]", "synonyms of label 1 must be a list, got 'CVA'"),
        ("[{id: a, synonyms: [1]}]", "synonyms of label 1 must be text, got 1"),
        ("[{id: a, title: b}]", "label 1 has the unknown field 'title', expected id, name"),
        ("[{name: a}]", "label 1 has no id"),
        ("[a]", "label 1 must be a mapping with an id, got 'a'"),
        ("labels: a", "labels must be a list, got 'a'"),
        ("{exclusive: maybe, labels: [{id: a}]}", "exclusive must be true or false, got 'maybe'"),
        ("{label: [{id: a}]}", "expected a list of labels, or the keys exclusive and labels"),
        ("a: [", "not YAML"),
        ("[{id: a, id: b}]", "a key is given twice"),
        ("[{id: a}, {id: a}]", "the label 'a' occurs twice"),
        ("[{id: &a x}, {id: *a}]", "aliases are not allowed"),
        ("[]", "at least 1 label"),
    ],
)
def test_yaml_errors_name_file_and_label(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        LabelSet.from_yaml(_file(tmp_path, "a.yaml", text))


def test_markdown_folder(tmp_path: Path) -> None:
    _file(tmp_path, "b.md", "---\nid: two\nsynonyms: [second]\nparent: one\nexamples: [a note]\n---\n# Two\n")
    _file(tmp_path, "a.md", "---\nid: one\ndefinition: The first.\n---\n# One\n\n## Indications\nnone\n")
    labels = LabelSet.from_markdown(tmp_path, exclusive=False)
    assert list(labels) == [
        Label("one", "One", "The first."),
        Label("two", "Two", "", ("second",), "one", ("a note",)),
    ]
    assert not labels.exclusive


def test_markdown_file_with_a_heading_for_each_label(tmp_path: Path) -> None:
    text = """# Findings

Read these first.

## Pleural effusion
Fluid in the pleural space,
free or loculated.
- **Synonyms:** pleural fluid; hydrothorax
Example: blunted angle; small effusion

## Trace effusion
Id: trace
Parent: pleural-effusion
Synonyms: sliver of fluid
Synonyms: tiny effusion

### Notes
Not part of the definition.
"""
    labels = LabelSet.from_markdown(_file(tmp_path, "guide.md", text))
    assert list(labels) == [
        Label(
            "pleural-effusion",
            "Pleural effusion",
            "Fluid in the pleural space, free or loculated.",
            ("pleural fluid", "hydrothorax"),
            "",
            ("blunted angle; small effusion",),
        ),
        Label("trace", "Trace effusion", "", ("sliver of fluid", "tiny effusion"), "pleural-effusion"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Only a title\ntext\n", "below it a ## heading with text for each label"),
        ("# T\n## A\nx\n## A\ny\n", "the heading 'A' occurs twice"),
        ("# T\n## A\nId: a\nId: b\n", r"field id: 'A' has 2 lines of it, expected one"),
        ("# T\n## A\nParent: b\n", "the parent 'b' of the label 'a' is not in the set"),
    ],
)
def test_markdown_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        LabelSet.from_markdown(_file(tmp_path, "guide.md", text))


def test_protocol_metadata_gives_parent_and_examples() -> None:
    documents = [Document("a", "t", "A"), Document("b", "t", "B", metadata={"parent": "a", "examples": ["x"]})]
    assert LabelSet.from_protocols(documents)["b"] == Label("b", "B", parent="a", examples=("x",))
    with pytest.raises(CorpusError, match="record a, field parent: expected text, got 3"):
        LabelSet.from_protocols([Document("a", "t", metadata={"parent": 3})])


def test_shipped_findings_do_not_exclude_each_other() -> None:
    labels = LabelSet.from_findings("chest")
    assert tuple(labels) == load_finding_sets()["chest"]
    assert len(labels) == 14
    assert not labels.exclusive
    with pytest.raises(ValueError, match="no finding set 'knee'; choose one of chest, head"):
        LabelSet.from_findings("knee")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([Label("a", synonyms="CVA")], "synonyms of the label 'a' must be a list or tuple of texts, got 'CVA'"),  # type: ignore[arg-type]
        ([Label("a", synonyms=("x", " "))], "synonyms of the label 'a' must be texts that are not blank"),
        ([Label("a", examples=(1,))], "examples of the label 'a' must be texts"),  # type: ignore[arg-type]
        ([Label("a", name=" ")], "name of the label 'a' must be text that is not blank, got ' '"),
        ([Label("a", definition=None)], "definition of the label 'a' must be text"),  # type: ignore[arg-type]
        ([Label("a", parent="a")], "their own ancestors, got a -> a"),
        ([Label("x", parent="a"), Label("a", parent="c"), Label("b", parent="a"), Label("c", parent="b")],
         "got a -> c -> b -> a"),
    ],
)  # fmt: skip
def test_constructor_refuses_odd_fields_and_circles(labels: list[Label], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSet(labels)


def test_constructor_refuses_odd_exclusive_and_takes_lists() -> None:
    with pytest.raises(ValueError, match=r"exclusive must be True .* got 'no'"):
        LabelSet([Label("a")], exclusive="no")  # type: ignore[arg-type]
    given = Label("a", synonyms=["x"])  # type: ignore[arg-type]
    assert LabelSet([given])["a"] == Label("a", synonyms=("x",))
    assert given.synonyms == ["x"]


def test_family() -> None:
    labels = LabelSet(FAMILY)
    assert labels.ancestors("lacune") == ("stroke", "brain")
    assert labels.children("brain") == ("stroke",)
    assert labels.children("lung") == labels.ancestors("brain") == ()
    with pytest.raises(KeyError, match="no label ''"):
        labels.children("")


def test_unknown_id_does_not_list_thousands() -> None:
    labels = LabelSet(Label(f"code{number}") for number in range(5000))
    with pytest.raises(KeyError) as caught:
        labels["x"]
    assert len(str(caught.value)) < 250


def test_shared_names_are_reported() -> None:
    labels = LabelSet([
        Label("ms1", "Multiple sclerosis", synonyms=("MS", "MS")),
        Label("ms2", "Mitral stenosis", synonyms=("ms", "mitral  STENOSIS")),
        Label("ms3", "mitral stenosis"),
        Label("ms"),
    ])  # fmt: skip
    assert [str(one) for one in labels.shared_names] == [
        "'MS' names ms1, ms2, ms",
        "'Mitral stenosis' names ms2, ms3",
    ]
    assert LabelSet(FAMILY).shared_names == ()


def test_fingerprint_covers_every_field_and_old_ones_still_hold() -> None:
    base = Label("a", "A", "d", ("s",))
    old = [{"id": "a", "name": "A", "definition": "d", "synonyms": ["s"]}]  # what was hashed before
    text = json.dumps(old, ensure_ascii=False, sort_keys=True)
    assert LabelSet([base]).fingerprint == hashlib.sha256(text.encode()).hexdigest()
    others = [
        Label("b", "A", "d", ("s",)), Label("a", "B", "d", ("s",)), Label("a", "A", "e", ("s",)),
        Label("a", "A", "d", ("t",)), Label("a", "A", "d", ("s",), "", ("x",)), base,
    ]  # fmt: skip
    sets = [LabelSet([one]) for one in others]
    sets += [LabelSet([base], exclusive=False), LabelSet([base, Label("p")])]
    sets += [LabelSet([Label("a", "A", "d", ("s",), "p"), Label("p")])]
    assert len({one.fingerprint for one in sets}) == len(sets)


def test_difference() -> None:
    before = LabelSet([
        *FAMILY, Label("t1", "Two", "same words"), Label("gone", "Gone"), Label("x1", "X"),
        Label("kid", "K", parent="t1"),
    ])  # fmt: skip
    after = LabelSet([
        FAMILY[0], FAMILY[3], Label("stroke", "Stroke", "Infarct", ("CVA", "ictus"), "brain", STROKE.examples),
        FAMILY[2], Label("t2", "Deux", "Same  words"), Label("x2", "x"), Label("new", "New"),
        Label("kid", "K", parent="t2"),
    ], exclusive=False)  # fmt: skip
    found = before.diff(after)
    assert found
    assert (found.added, found.removed) == (("new",), ("gone",))
    assert found.renamed == (("t1", "t2"), ("x1", "x2"))
    assert [(one.id, one.field, one.before, one.after) for one in found.changed] == [
        ("stroke", "definition", "Infarct or bleed", "Infarct"),
        ("stroke", "synonyms", ("CVA",), ("CVA", "ictus")),
        ("t2", "name", "Two", "Deux"),
        ("t2", "definition", "same words", "Same  words"),
        ("x2", "name", "X", "x"),
    ]  # the parent of kid is the same label under its new id
    assert found.reordered
    assert found.exclusive == (True, False)
    assert (found.before, found.after) == (before.fingerprint, after.fingerprint)
    assert str(found).splitlines()[1:] == [
        "exclusive: True -> False",
        "added (1):", "  new",
        "removed (1):", "  gone",
        "renamed (2):", "  t1 -> t2", "  x1 -> x2",
        "changed (5):", "  stroke: definition 'Infarct or bleed' -> 'Infarct'", "  stroke: synonyms +'ictus'",
        "  t2: name 'Two' -> 'Deux'", "  t2: definition 'same words' -> 'Same  words'", "  x2: name 'X' -> 'x'",
        "the order of the labels differs",
    ]  # fmt: skip
    assert json.loads(json.dumps(found.to_dict()))["renamed"] == [["t1", "t2"], ["x1", "x2"]]


def test_no_difference_and_ambiguous_renames() -> None:
    same = LabelSet(FAMILY).diff(LabelSet(FAMILY))
    assert not same
    assert str(same).endswith(": the same")
    two = LabelSet([Label("a", "N"), Label("b", "N")]).diff(LabelSet([Label("c", "N"), Label("d", "N")]))
    assert (two.renamed, two.added, two.removed) == ((), ("c", "d"), ("a", "b"))


_words = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=";|"), min_size=1, max_size=6)
_label = st.builds(
    Label, id=_words, name=_words, definition=_words | st.just(""), synonyms=st.lists(_words, max_size=2).map(tuple),
    examples=st.lists(_words, max_size=2).map(tuple),
)  # fmt: skip
_sets = st.builds(
    LabelSet, st.lists(_label, min_size=1, max_size=4, unique_by=lambda label: label.id), exclusive=st.booleans()
)


@settings(deadline=None, max_examples=60)
@given(_sets, _sets)
def test_stored_forms_give_the_set_back(
    tmp_path_factory: pytest.TempPathFactory, one: LabelSet, other: LabelSet
) -> None:
    path = tmp_path_factory.mktemp("sets") / "set"
    one.to_yaml(path)
    assert LabelSet.from_yaml(path) == one
    one.to_csv(path)
    assert LabelSet.from_csv(path, exclusive=one.exclusive) == one
    assert read_labels(json.loads(json.dumps(stored_labels(one)))) == one
    found = one.diff(other)
    back = dict(found.renamed)
    assert set(one.ids) - set(found.removed) == {id for id in one.ids if id in other or id in back}
    assert {back.get(id, id) for id in one.ids if id not in found.removed} | set(found.added) == set(other.ids)
    assert bool(found) == (one != other)


def test_stored_form_of_older_versions_is_read() -> None:
    old = [{"id": "a", "name": "A", "definition": "", "synonyms": ["x"]}]
    assert read_labels(old) == LabelSet([Label("a", "A", "", ("x",))])


def test_yaml_keeps_parents_and_csv_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    labels = LabelSet(FAMILY, exclusive=False)
    labels.to_yaml(tmp_path / "a.yaml")
    assert [asdict(one) for one in LabelSet.from_yaml(tmp_path / "a.yaml")] == [asdict(one) for one in FAMILY]
    with pytest.raises(ValueError, match=r"examples of 'stroke' holds '\|'.*write YAML instead"):
        labels.to_csv(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="'a' has no name"):
        LabelSet([Label("a")]).to_csv(tmp_path / "a.csv")


def test_the_kind_of_file_says_how_it_is_read(tmp_path: Path) -> None:
    labels = LabelSet([Label("one", "One", "The first.", ("1st",)), Label("two", "Two")])
    labels.to_csv(tmp_path / "a.csv")
    labels.to_yaml(tmp_path / "a.YML")
    folder = tmp_path / "pages"
    folder.mkdir()
    _file(folder, "one.md", "---\nid: one\ndefinition: The first.\nsynonyms: [1st]\n---\n# One\n")
    _file(folder, "two.md", "---\nid: two\n---\n# Two\n")
    _file(tmp_path, "a.md", "# Labels\n\n## One\nThe first.\nSynonyms: 1st\n\n## Two\nId: two\n")
    for name in ("a.csv", "a.YML", "a.md", "pages"):
        assert LabelSet.read(tmp_path / name) == labels
    with pytest.raises(CorpusError, match="file of labels, or a folder of guidelines"):
        LabelSet.read(_file(tmp_path, "a.txt", "one"))
