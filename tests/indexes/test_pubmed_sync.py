"""Following PubMed's files: the index afterwards is what a plain reading of the records in order gives."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_pubmed import FakeServer, Fault, article, article_set, deletion, fast_web, put, served
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.corpora import read_pubmed
from radrag.corpora.pubmed_selection import Selection
from radrag.corpora.pubmed_server import LocalFolder, Server
from radrag.corpora.versions import Version
from radrag.errors import CorpusError, IndexStateError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.pubmed_sync import SyncReport, make_plan, sync
from radrag.indexes.store import document_version
from radrag.types import Document, Notice

BASE, UPDATE = "pubmed26n0001.xml.gz", "pubmed26n0002.xml.gz"


class PlainIndex:
    """What an index is to a sync, as plain dictionaries; notes go through JSON."""

    def __init__(self) -> None:
        self.stored: dict[str, Document] = {}
        self.notices: dict[str, tuple[Notice, ...]] = {}
        self.notes: dict[str, str] = {}

    def update(self, documents: Iterable[Document]) -> dict[str, int]:
        counts = {"added": 0, "updated": 0, "skipped": 0, "empty": 0, "passages": 0}
        for document in documents:
            before = self.stored.get(document.id)
            if before and (before == document or document_version(document).is_older(document_version(before))):
                counts["skipped"] += 1
            else:
                counts["updated" if before else "added"] += 1
                counts["passages"] += 1
                self.stored[document.id] = document
        return counts

    def delete(self, ids: Iterable[str], *, keep_notices: bool = True) -> dict[str, int]:
        assert not keep_notices
        gone = [name for name in list(ids) if self.stored.pop(name, None)]
        return {"deleted": len(gone), "missing": 0}

    def versions(self, names: Sequence[str]) -> dict[str, Version]:
        return {name: document_version(self.stored[name]) for name in names if name in self.stored}

    def set_notices_of(self, notices: Mapping[str, Iterable[Notice]]) -> dict[str, int]:
        self.notices |= {origin: tuple(said) for origin, said in notices.items()}
        return {origin: len(self.notices[origin]) for origin in notices}

    def get_note(self, key: str) -> Any:
        return json.loads(self.notes.get(key, "null"))

    def set_note(self, key: str, value: Any) -> None:
        self.notes[key] = json.dumps(value)

    def documents(self) -> Iterator[Document]:
        return iter(self.stored.values())


Opened = PlainIndex | HybridIndex


@pytest.fixture(params=["plain", "hybrid"])
def index(request: pytest.FixtureRequest, tmp_path: Path, toy: Callable[..., Any]) -> Iterator[Opened]:
    if request.param == "plain":
        yield PlainIndex()
    else:
        with HybridIndex.create(tmp_path / "index", encoder=toy()) as made:
            yield made


@pytest.fixture
def source(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "pubmed")


def base(tmp_path: Path, name: str, *records: str) -> None:
    put(tmp_path / "pubmed" / "baseline", name, *records)


def update(tmp_path: Path, name: str, *records: str) -> None:
    put(tmp_path / "pubmed" / "updatefiles", name, *records)


def follow(index: Opened, source: Any, selection: Selection | None = None, **options: Any) -> SyncReport:
    limits = {name: options.pop(name) for name in ("max_files", "keep", "downloads") if name in options}
    plan = make_plan(index, source, selection, **options)
    return sync(index, source, plan, limits.pop("downloads", Path("unused")), **limits)


def texts(index: Opened) -> dict[str, str]:
    return {document.metadata["pmid"]: document.text for document in index.documents()}


def some(report: SyncReport) -> dict[str, int]:
    return {name: count for name, count in report.counts.items() if count and name != "passages"}


def test_files_apply_in_order_and_once(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1, "One."), article(2, "Two."), article(3, "Three."))
    update(tmp_path, UPDATE, article(1, "One again."), article(2, "Two."), article(4, "Four."), deletion(3, 99))
    report = follow(index, source)
    assert report.files == (BASE, UPDATE)
    assert some(report) == {"added": 4, "updated": 1, "skipped": 1, "deleted": 1}
    assert texts(index) == {"1": "One again.", "2": "Two.", "4": "Four."}
    assert (report.left, report.late, report.unchecked) == (0, (), ())
    again = follow(index, source)
    assert (again.files, some(again)) == ((), {})
    update(tmp_path, "pubmed26n0003.xml.gz", article(3, "Three again."))
    assert some(follow(index, source)) == {"added": 1}
    assert texts(index)["3"] == "Three again."


def test_within_a_file_the_last_record_counts(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    records = [
        *(article(1, "First."), article(1, "Last.")),
        *(article(2, "Version two.", version=2), article(2, "Version one.", version=1)),
        *(article(3, "Gone."), deletion(3)),
        *(deletion(4), article(4, "Back.")),
    ]
    base(tmp_path, BASE, *records)
    follow(index, source)
    assert texts(index) == {"1": "Last.", "2": "Version two.", "4": "Back."}


def test_an_older_version_in_a_later_file_changes_nothing(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1, "Version two.", version=2))
    update(tmp_path, UPDATE, article(1, "Version one.", version=1))
    assert some(follow(index, source)) == {"added": 1, "skipped": 1}
    update(tmp_path, "pubmed26n0003.xml.gz", article(1, "Version two, revised.", version=2))
    follow(index, source)
    assert texts(index) == {"1": "Version two, revised."}


def test_only_the_selection_is_kept(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(
        tmp_path,
        BASE,
        article(1, mesh=("Humans",)),
        article(2, mesh=("Mice",)),
        article(3, "", mesh=("Humans",)),
        article(4, year=1999, mesh=("Humans",)),
    )
    selection = Selection(mesh=("humans",), years=(2000, None), has_abstract=True)
    assert some(follow(index, source, selection)) == {"added": 1, "unselected": 3}
    update(tmp_path, UPDATE, article(1, mesh=("Mice",)), article(2, mesh=("Mice", "Humans")))
    assert some(follow(index, source)) == {"added": 1, "unselected": 1, "dropped": 1}
    assert texts(index).keys() == {"2"}


def test_an_older_version_that_is_not_selected_drops_nothing(
    index: Opened, source: LocalFolder, tmp_path: Path
) -> None:
    base(tmp_path, BASE, article(1, version=2, mesh=("Humans",)), article(1, version=1))
    follow(index, source, Selection(mesh=("Humans",)))
    assert texts(index).keys() == {"1"}


def test_another_selection_needs_a_word(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1), article(2, journal="Stroke"))
    follow(index, source, Selection(journals=("Radiology",)))
    update(tmp_path, UPDATE, article(3, journal="Stroke"))
    for other in (Selection(journals=("Stroke",)), Selection()):
        with pytest.raises(IndexStateError, match=r"Radiology.*selection_changed"):
            follow(index, source, other)
    assert make_plan(index, source, Selection(journals=("Radiology",))).selection.journals == ("Radiology",)
    follow(index, source, Selection(journals=("Stroke",)), selection_changed=True)
    assert texts(index).keys() == {"1", "3"}
    assert make_plan(index, source).selection == Selection(journals=("Stroke",))


def test_notices_count_though_their_record_is_not_kept(source: LocalFolder, tmp_path: Path) -> None:
    index = PlainIndex()
    base(tmp_path, BASE, article(1, mesh=("Humans",)), article(9, links=(("RetractionOf", 1), ("Cites", 2))))
    report = follow(index, source, Selection(mesh=("Humans",)))
    assert index.notices == {"outside:PMID:9": (Notice("PMID:1", "retracted", "PMID:9", "2020"),)}
    assert report.counts["notices"] == 1
    update(tmp_path, UPDATE, article(9, links=(("ErratumFor", 1),)))
    follow(index, source)
    assert index.notices == {"outside:PMID:9": (Notice("PMID:1", "corrected", "PMID:9", "2020"),)}
    update(tmp_path, "pubmed26n0003.xml.gz", article(9))
    follow(index, source)
    assert index.notices == {"outside:PMID:9": ()}
    update(tmp_path, "pubmed26n0004.xml.gz", article(9, links=(("RetractionOf", 1),)), article(8))
    update(tmp_path, "pubmed26n0005.xml.gz", deletion(9, 8))
    follow(index, source, max_files=1)
    assert len(index.notices["outside:PMID:9"]) == 1
    follow(index, source)
    assert index.notices == {"outside:PMID:9": ()}
    update(tmp_path, "pubmed26n0006.xml.gz", article(9, links=(("RetractionOf", 1),)))
    update(tmp_path, "pubmed26n0007.xml.gz", article(9, links=(("RetractionOf", 1),), mesh=("Humans",)))
    follow(index, source)
    assert index.notices == {"outside:PMID:9": ()}
    assert "PMID:9" in index.stored


def test_a_retraction_reaches_the_search(source: LocalFolder, tmp_path: Path, toy: Callable[..., Any]) -> None:
    with HybridIndex.create(tmp_path / "index", encoder=toy()) as index:
        base(tmp_path, BASE, article(1, "Renal stone.", mesh=("Humans",)), article(2, "Renal mass.", mesh=("Humans",)))
        follow(index, source, Selection(mesh=("Humans",)))
        assert {hit.passage.document_id for hit in index.search("renal")} == {"PMID:1", "PMID:2"}
        update(tmp_path, UPDATE, article(9, links=(("RetractionOf", 1), ("ExpressionOfConcernFor", 2))))
        follow(index, source)
        assert [hit.passage.flags for hit in index.search("renal")] == [("expression of concern",)]
        shown = {hit.passage.document_id: hit.passage.flags for hit in index.search("renal", include_retracted=True)}
        assert shown == {"PMID:1": ("retracted",), "PMID:2": ("expression of concern",)}
        update(tmp_path, "pubmed26n0003.xml.gz", deletion(9))
        follow(index, source)
        assert [hit.passage.flags for hit in index.search("renal")] == [(), ()]
        assert index.verify() == []


def test_a_file_that_was_half_applied_is_applied_again(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1, "One."))
    records = [article(n, f"Number {n}.") for n in range(2, 3000)]
    update(tmp_path, UPDATE, *records, "<Surprise/>", deletion(1))
    with pytest.raises(CorpusError, match="record 2999, field Surprise"):
        follow(index, source)
    assert 1000 < len(texts(index)) < 3000
    assert [file.name for file in make_plan(index, source).pending] == [UPDATE]
    update(tmp_path, UPDATE, *records, deletion(1))
    report = follow(index, source)
    assert report.counts["added"] + report.counts["skipped"] == 2998
    assert texts(index) == {str(n): f"Number {n}." for n in range(2, 3000)}


def test_so_many_files_and_no_more(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    for number in range(1, 4):
        base(tmp_path, f"pubmed26n000{number}.xml.gz", article(number))
    report = follow(index, source, max_files=2)
    assert (report.files, report.left) == ((BASE, UPDATE), 1)
    plan = make_plan(index, source)
    assert ([file.number for file in plan.pending], plan.applied) == ([3], 2)
    with pytest.raises(ValueError, match="max_files must be at least 1, got 0"):
        follow(index, source, max_files=0)


def test_a_file_that_appears_late_is_left_out(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1, "Old."))
    update(tmp_path, "pubmed26n0003.xml.gz", article(1, "New."))
    follow(index, source, gaps=True)
    update(tmp_path, UPDATE, article(1, "Between."))
    base(tmp_path, "pubmed25n0001.xml.gz", article(1, "Ancient."))
    report = follow(index, source)
    assert report.late == ("pubmed25n0001.xml.gz", UPDATE)
    assert texts(index) == {"1": "New."}


def test_updates_only(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1))
    update(tmp_path, UPDATE, article(2))
    update(tmp_path, "pubmed26n0003.xml.gz", article(3))
    assert follow(index, source, updates_only=True).files == (UPDATE, "pubmed26n0003.xml.gz")
    assert texts(index).keys() == {"2", "3"}
    assert follow(index, source, updates_only=True).late == ()
    assert follow(index, source).late == (BASE,)


def test_updates_alone_are_not_taken_from_where_none_can_be_told(
    index: Opened, source: LocalFolder, tmp_path: Path
) -> None:
    put(tmp_path / "pubmed", BASE, article(1))
    put(tmp_path / "pubmed", UPDATE, article(2))
    with pytest.raises(CorpusError, match=r"n0001\.xml\.gz may be .*subfolders baseline/ and updatefiles/"):
        follow(index, source, updates_only=True)
    assert follow(index, source).files == (BASE, UPDATE)
    assert follow(index, source, updates_only=True).files == ()


def test_the_baseline_of_another_year_needs_a_word(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, "pubmed25n0001.xml.gz", article(1, "One."), article(2, "Two."), article(3, "Three."))
    follow(index, source)
    base(tmp_path, BASE, article(1, "One."), article(2, "Two, revised."))
    base(tmp_path, UPDATE, article(4, "Four."))
    update(tmp_path, "pubmed26n0003.xml.gz", article(5, "Five."))
    for options in ({}, {"updates_only": True}):
        with pytest.raises(IndexStateError, match=r"baseline of 2025, the source has files of 2026\..*--new-baseline"):
            follow(index, source, **options)
    report = follow(index, source, new_baseline=True, max_files=1)
    assert some(report) == {"skipped": 1, "updated": 1}
    assert follow(index, source).files == (UPDATE, "pubmed26n0003.xml.gz")
    assert texts(index) == {"1": "One.", "2": "Two, revised.", "3": "Three.", "4": "Four.", "5": "Five."}


def test_a_gap_needs_a_word(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    def refused(number: str, **options: Any) -> None:
        with pytest.raises(IndexStateError, match=rf"not number {number}, which .*--allow-gaps"):
            make_plan(index, source, **options)

    base(tmp_path, UPDATE, article(2))
    refused("0001")
    base(tmp_path, BASE, article(1))
    update(tmp_path, "pubmed26n0004.xml.gz", article(4))
    update(tmp_path, "pubmed26n0005.xml.gz", article(5))
    refused("0003")
    assert [file.number for file in make_plan(index, source, updates_only=True).pending] == [4, 5]
    assert [file.number for file in make_plan(index, source, gaps=True).pending] == [1, 2, 4, 5]
    update(tmp_path, "pubmed26n0007.xml.gz", article(7))
    refused("0006", updates_only=True)
    follow(index, source, updates_only=True, gaps=True, max_files=2)
    refused("0006", updates_only=True)
    update(tmp_path, "pubmed26n0006.xml.gz", article(6))
    assert follow(index, source, updates_only=True).files == ("pubmed26n0006.xml.gz", "pubmed26n0007.xml.gz")
    base(tmp_path, "pubmed27n0002.xml.gz", article(2))
    refused("0001", new_baseline=True)
    base(tmp_path, "pubmed27n0001.xml.gz", article(1))
    assert follow(index, source, new_baseline=True).files == ("pubmed27n0001.xml.gz", "pubmed27n0002.xml.gz")


def test_digests_are_remembered_and_missing_ones_shown(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1))
    digest = (tmp_path / "pubmed" / "baseline" / f"{BASE}.md5").read_text(encoding="ascii").split()[-1]
    (tmp_path / "pubmed" / "baseline" / f"{BASE}.md5").unlink()
    assert follow(index, source).unchecked == (BASE,)
    assert index.get_note("pubmed") == {"files": {BASE: digest}, "selection": {}}


@pytest.fixture
def pubmed(tmp_path: Path) -> Iterator[FakeServer]:
    with served(tmp_path / "pubmed") as server:
        yield server


@pytest.mark.parametrize("keep", [False, True])
def test_from_a_server_with_faults(index: Opened, pubmed: FakeServer, tmp_path: Path, keep: bool) -> None:
    base(tmp_path, BASE, *(article(n, f"Number {n}.") for n in range(1, 50)))
    update(tmp_path, UPDATE, deletion(*range(1, 40)))
    pubmed.faults[f"/baseline/{BASE}"] = [Fault(status=500), Fault(cut=700), Fault(status=429)]
    pubmed.faults[f"/updatefiles/{UPDATE}"] = [Fault(body=b"damaged")]
    source, downloads = Server(pubmed.url, fast_web()), tmp_path / "downloads"
    report = follow(index, source, downloads=downloads, keep=keep)
    assert some(report) == {"added": 49, "deleted": 39}
    assert texts(index).keys() == {str(n) for n in range(40, 50)}
    assert sorted(path.name for path in downloads.iterdir()) == ([BASE, UPDATE] if keep else [])


def test_a_file_that_cannot_be_had_stops_the_sync_after_those_before(
    index: Opened, pubmed: FakeServer, tmp_path: Path
) -> None:
    base(tmp_path, BASE, article(1))
    update(tmp_path, UPDATE, article(2))
    update(tmp_path, "pubmed26n0003.xml.gz", article(3))
    pubmed.faults[f"/updatefiles/{UPDATE}"] = [Fault(status=503)] * 6
    source, downloads = Server(pubmed.url, fast_web()), tmp_path / "downloads"
    with pytest.raises(CorpusError, match="503"):
        follow(index, source, downloads=downloads)
    assert texts(index).keys() == {"1"}
    assert follow(index, source, downloads=downloads).files == (UPDATE, "pubmed26n0003.xml.gz")


RECORD = st.tuples(
    *(st.integers(1, 5), st.integers(0, 3), st.integers(1, 2), st.booleans(), st.sampled_from([None, "RetractionOf"])),
    st.integers(1, 4),
)
DELETION = st.tuples(st.integers(1, 5), st.sampled_from([None, 1, 2]))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.one_of(RECORD, DELETION), max_size=8), min_size=1, max_size=4))
def test_any_course_of_records_ends_as_a_plain_reading_says(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[Any]]
) -> None:
    """The reading: a deletion removes; a record replaces, unless one that came before is newer.

    As the DTD has it, the deletions of a file come last. When what is not kept was revised is forgotten with its file.
    """
    folder = tmp_path_factory.mktemp("pubmed")
    kept: dict[int, int] = {}
    said: dict[int, bool] = {}
    seen = dict.fromkeys(range(1, 6), (1, ""))
    for number, records in enumerate(files, start=1):
        written = []
        for record in sorted(records, key=len, reverse=True):
            if len(record) == 2:
                pmid, version = record
                written.append(deletion(pmid, version=version))
                if version is None or version >= seen[pmid][0]:
                    kept.pop(pmid, None)
                    said[pmid], seen[pmid] = False, (1, "")
                continue
            pmid, text, version, selected, link, day = record
            links = ((link, 100),) if link else ()
            mesh = ("Humans",) if selected else ()
            date = f"2026-03-{day:02}"
            written.append(article(pmid, f"Text {text}.", version=version, revised=date, mesh=mesh, links=links))
            if (version, date) < seen[pmid]:
                continue
            seen[pmid] = version, date
            said[pmid] = bool(link) and not selected
            if not selected:
                kept.pop(pmid, None)
            else:
                kept[pmid] = text
        seen = {pmid: (version, date if pmid in kept else "") for pmid, (version, date) in seen.items()}
        put(folder, f"pubmed26n{number:04}.xml.gz", *written)
    index = PlainIndex()
    follow(index, LocalFolder(folder), Selection(mesh=("Humans",)))
    assert texts(index) == {str(pmid): f"Text {text}." for pmid, text in kept.items()}
    assert {int(origin[13:]) for origin, notices in index.notices.items() if notices} == {
        pmid for pmid, speaks in said.items() if speaks
    }


@pytest.mark.parametrize("links", [(), (("RetractionOf", 5),)])
def test_a_later_version_that_came_in_otherwise_stays(
    index: Opened, source: LocalFolder, tmp_path: Path, links: tuple[tuple[str, int], ...]
) -> None:
    """As by `pubmed search --index`; the sync hears of an older version that is not selected."""
    found = put(tmp_path / "found", BASE, article(1, "Two.", version=2, mesh=("Humans",)), article(2, mesh=("Humans",)))
    index.update(read_pubmed(found))
    base(tmp_path, BASE, article(1, "One.", links=links), article(2, "Two, unselected."))
    report = follow(index, source, Selection(mesh=("Humans",)))
    assert some(report) == {"skipped": 1, "unselected": 1, "dropped": 1}
    assert texts(index) == {"1": "Two."}
    if isinstance(index, HybridIndex):
        assert index.flags(["PMID:5"]) == {"PMID:5": ()}
        assert [hit.passage.document_id for hit in index.search("two")] == ["PMID:1"]
    else:
        assert index.notices == {}
    update(tmp_path, UPDATE, article(1, "Three.", version=3))
    assert some(follow(index, source)) == {"unselected": 1, "dropped": 1}
    assert texts(index) == {}


@pytest.mark.parametrize("selected", [False, True])
def test_a_later_revision_that_came_in_otherwise_stays(
    index: Opened, source: LocalFolder, tmp_path: Path, selected: bool
) -> None:
    """As by `pubmed search --index`, while the sync is still at files of the year before."""
    humans, speaks = ("Humans",), (("RetractionIn", 9),)
    revised = article(1, "Renal stone.", mesh=humans, revised="2026-03-01", links=speaks)
    index.update(read_pubmed(put(tmp_path / "found", BASE, revised)))
    base(tmp_path, BASE, article(1, "Renal stone.", mesh=humans * selected, revised="2025-03-01"))
    assert some(follow(index, source, Selection(mesh=humans))) == {"skipped": 1}
    [document] = index.documents()
    assert (document.metadata["revised"], document.retracted) == ("2026-03-01", True)
    if isinstance(index, HybridIndex):
        assert index.flags(["PMID:1"]) == {"PMID:1": ("retracted",)}
        assert index.search("renal") == index.verify() == []
    update(tmp_path, UPDATE, article(1, "Renal stones.", mesh=humans, revised="2026-03-01"))
    assert some(follow(index, source)) == {"updated": 1}
    update(tmp_path, "pubmed26n0003.xml.gz", deletion(1))
    update(tmp_path, "pubmed26n0004.xml.gz", article(1, "Anew.", mesh=humans, revised="2024-01-01"))
    assert some(follow(index, source)) == {"deleted": 1, "added": 1}
    assert texts(index) == {"1": "Anew."}


@pytest.mark.parametrize("selected", [False, True])
def test_an_older_revision_in_a_later_file_changes_nothing(
    index: Opened, source: LocalFolder, tmp_path: Path, selected: bool
) -> None:
    humans = ("Humans",)
    base(tmp_path, BASE, article(1, "Two.", mesh=humans, revised="2026-03-01"))
    update(tmp_path, UPDATE, article(1, "One.", mesh=humans * selected, revised="2026-02-28"))
    assert some(follow(index, source, Selection(mesh=humans))) == {"added": 1, "skipped": 1}
    assert texts(index) == {"1": "Two."}


def test_a_record_without_a_date_is_the_older(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    base(tmp_path, BASE, article(1, "One.", revised="2026-03-01"), article(2, "One."), article(3, version=2))
    update(tmp_path, UPDATE, article(1, "Two."), article(2, "Two.", revised="2025-03-01"), article(3, revised="2026"))
    assert some(follow(index, source)) == {"added": 3, "updated": 1, "skipped": 2}
    assert texts(index) == {"1": "One.", "2": "Two.", "3": "Some text."}


def test_the_deletion_of_a_lower_version_leaves_the_article(index: Opened, source: LocalFolder, tmp_path: Path) -> None:
    humans = ("Humans",)
    found = put(tmp_path / "found", BASE, article(3, "Three.", version=3, mesh=humans))
    index.update(read_pubmed(found))
    speaks = (("RetractionOf", 5),)
    base(tmp_path, BASE, *(article(n, f"{n}.", version=2, mesh=humans) for n in (1, 2)))
    update(tmp_path, UPDATE, article(4, version=2, links=speaks), deletion(1, 3, 4), deletion(2, version=None))
    counts = some(follow(index, source, Selection(mesh=humans)))
    assert (counts["deleted"], counts["skipped"]) == (1, 3)
    assert texts(index) == {"1": "1.", "3": "Three."}
    update(tmp_path, "pubmed26n0003.xml.gz", article(1, "Lower.", mesh=humans), article(3, "Lower.", mesh=humans))
    assert some(follow(index, source)) == {"skipped": 2}
    if isinstance(index, HybridIndex):
        assert index.flags(["PMID:5"]) == {"PMID:5": ("retracted",)}
    update(tmp_path, "pubmed26n0004.xml.gz", deletion(1, 4, version=1), deletion(1, 4, version=2), deletion(1, 4))
    update(tmp_path, "pubmed26n0005.xml.gz", deletion(3, version=3))
    assert some(follow(index, source)) == {"deleted": 2, "skipped": 2}
    assert texts(index) == {}
    if isinstance(index, HybridIndex):
        assert index.flags(["PMID:5"]) == {"PMID:5": ()}


def test_the_selection_is_remembered_before_the_first_file_is_whole(
    index: Opened, source: LocalFolder, tmp_path: Path
) -> None:
    path = put(tmp_path / "pubmed" / "baseline", BASE, article(1, mesh=("Humans",)), article(2, mesh=("Mice",)))
    digest = path.with_name(f"{BASE}.md5")
    right = digest.read_text(encoding="ascii")
    digest.write_text(right.replace(right[-5:-1], "0000"), encoding="ascii")
    for mistyped in (Selection(mesh=("Hamans",)), Selection(mesh=("Humans",))):
        with pytest.raises(CorpusError, match="MD5"):
            follow(index, source, mistyped)
    digest.write_text(right, encoding="ascii")
    plan = make_plan(index, source)
    assert (plan.selection, plan.applied, plan.new_baseline) == (Selection(mesh=("Humans",)), 0, False)
    assert follow(index, source).files == (BASE,)
    assert texts(index).keys() == {"1"}


def test_a_selection_that_changed_is_remembered_though_no_file_is_pending(
    index: Opened, source: LocalFolder, tmp_path: Path
) -> None:
    base(tmp_path, BASE, article(1, mesh=("Humans",)))
    follow(index, source, Selection(mesh=("Humans", "Adult")))
    same = Selection(mesh=("adult ", "humans"))
    assert make_plan(index, source, same).selection == Selection(mesh=("Humans", "Adult"))
    assert follow(index, source, Selection(mesh=("Mice",)), selection_changed=True).files == ()
    update(tmp_path, UPDATE, article(2, mesh=("Humans",)), article(3, mesh=("Mice",)))
    assert some(follow(index, source)) == {"added": 1, "unselected": 1}
    assert texts(index).keys() == {"1", "3"}


@pytest.mark.data
def test_official_update_files(index: Opened, data: Path, tmp_path: Path) -> None:
    for path in sorted((data / "pubmed_xml").glob("pubmed20n*.xml.gz")):
        put(tmp_path / "pubmed" / "updatefiles", path.name, data=path.read_bytes())
    report = follow(index, LocalFolder(tmp_path / "pubmed"), gaps=True)
    assert report.files == ("pubmed20n0001.xml.gz", "pubmed20n0002.xml.gz", "pubmed20n1203.xml.gz")
    found = {document.id for document in index.documents()}
    assert len(found) == report.counts["added"] - report.counts["deleted"] > 0
    again = put(tmp_path / "pubmed" / "updatefiles", "pubmed20n1204.xml.gz", data=b"")
    first = (data / "pubmed_xml" / "pubmed20n0001.xml.gz").read_bytes()
    put(again.parent, again.name, data=gzip.compress(gzip.decompress(first)))
    assert follow(index, LocalFolder(tmp_path / "pubmed")).counts["updated"] == 0
    put(again.parent, "pubmed20n1205.xml.gz", data=gzip.compress(article_set(deletion(*(int(n[5:]) for n in found)))))
    follow(index, LocalFolder(tmp_path / "pubmed"))
    assert list(index.documents()) == []
