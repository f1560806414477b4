"""A sync that runs for years: files published anew, versions, kills, two at once, and notices that move."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_pubmed import article, deletion, put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_pubmed_sync import PlainIndex, follow, some, texts

from radrag.corpora import read_pubmed
from radrag.corpora.pubmed_selection import Selection
from radrag.corpora.pubmed_server import LocalFolder
from radrag.errors import CorpusError, IndexStateError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.pubmed_apply import Applier
from radrag.indexes.pubmed_sync import make_plan, only_sync, sync
from radrag.types import Notice

HUMANS = Selection(mesh=("Humans",))
KEPT = ("Humans",)


@pytest.fixture
def source(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "pubmed")


def file(tmp_path: Path, number: int, *records: str) -> str:
    return put(tmp_path / "pubmed", f"pubmed26n{number:04}.xml.gz", *records).name


def test_an_older_version_that_is_not_selected_drops_nothing_in_a_later_file(
    source: LocalFolder, tmp_path: Path
) -> None:
    index = PlainIndex()
    file(tmp_path, 1, article(1, "Two.", version=2, mesh=KEPT))
    follow(index, source, HUMANS)
    file(tmp_path, 2, article(1, "One.", version=1, links=(("RetractionOf", 5),)))
    assert some(follow(index, source)) == {"skipped": 1}
    assert texts(index) == {"1": "Two."}
    assert index.notices == {}
    file(tmp_path, 3, article(1, "Three.", version=3))
    assert some(follow(index, source)) == {"unselected": 1, "dropped": 1}
    file(tmp_path, 4, article(1, "Two again.", version=2, mesh=KEPT))
    assert some(follow(index, source)) == {"skipped": 1}
    file(tmp_path, 5, deletion(1, version=3))
    file(tmp_path, 6, article(1, "One anew.", version=1, mesh=KEPT))
    follow(index, source)
    assert texts(index) == {"1": "One anew."}


def test_a_file_published_anew_is_applied_again_with_all_after_it(source: LocalFolder, tmp_path: Path) -> None:
    index = PlainIndex()
    file(tmp_path, 1, article(1, "A1."), article(2, "B1."))
    second = file(tmp_path, 2, article(1, "A2."), article(2, "B2."))
    third = file(tmp_path, 3, article(1, "A3."))
    follow(index, source)
    assert make_plan(index, source).reissued is None
    file(tmp_path, 2, article(1, "A2, revised."), article(2, "B2, revised."))
    plan = make_plan(index, source)
    assert (plan.reissued, [one.name for one in plan.pending], plan.applied) == (second, [second, third], 1)
    fourth = file(tmp_path, 4, article(3, "C4."))
    plan = make_plan(index, source)
    assert [one.name for one in plan.now(1)] == [second, third]
    assert [one.name for one in plan.now(3)] == [second, third, fourth]
    report = sync(index, source, plan, tmp_path, max_files=1)
    assert (report.files, report.left) == ((second, third), 1)
    assert some(report) == {"updated": 1, "skipped": 2}
    assert texts(index) == {"1": "A3.", "2": "B2, revised."}
    assert [one.name for one in make_plan(index, source).pending] == [fourth]
    follow(index, source)
    plan = make_plan(index, source)
    assert (plan.reissued, plan.pending, plan.replayed) == (None, (), 0)


def test_only_the_last_files_are_looked_at_again(source: LocalFolder, tmp_path: Path) -> None:
    index = PlainIndex()
    names = [file(tmp_path, number, article(number)) for number in range(1, 9)]
    follow(index, source)
    asked: list[str] = []

    class Counting(LocalFolder):
        def digest(self, file: Any) -> str:
            asked.append(file.name)
            return super().digest(file)

    make_plan(index, Counting(tmp_path / "pubmed"))
    assert asked == names[-5:]


def test_a_file_published_anew_needs_those_after_it(source: LocalFolder, tmp_path: Path) -> None:
    index = PlainIndex()
    for number in range(1, 5):
        file(tmp_path, number, article(number))
    follow(index, source)
    file(tmp_path, 2, article(2, "Anew."))
    (tmp_path / "pubmed" / "pubmed26n0003.xml.gz").unlink()
    with pytest.raises(IndexStateError, match="not number 0003"):
        make_plan(index, source)


@pytest.mark.parametrize("gaps", [False, True])
def test_a_file_published_anew_needs_the_last_one_too(source: LocalFolder, tmp_path: Path, gaps: bool) -> None:
    index = PlainIndex()
    for number in range(1, 4):
        file(tmp_path, number, article(1, f"Text {number}."))
    follow(index, source)
    file(tmp_path, 2, article(1, "Anew."))
    (tmp_path / "pubmed" / "pubmed26n0003.xml.gz").unlink()
    with pytest.raises(IndexStateError, match=r"n0002\.xml\.gz was published anew, but pubmed26n0003\.xml\.gz"):
        make_plan(index, source, gaps=gaps)


def test_a_file_of_the_old_year_published_anew_brings_the_new_baseline_with_it(
    source: LocalFolder, tmp_path: Path
) -> None:
    index = PlainIndex()
    first = file(tmp_path, 1, article(1, "Old."))
    second = put(tmp_path / "pubmed", "pubmed27n0001.xml.gz", article(1, "New.")).name
    follow(index, source, new_baseline=True)
    file(tmp_path, 1, article(1, "Old, revised."), article(2))
    put(tmp_path / "pubmed", "pubmed27n0002.xml.gz", article(3))
    plan = make_plan(index, source)
    assert ([one.name for one in plan.now(1)], plan.waiting, plan.new_baseline) == ([first, second], 0, False)
    sync(index, source, plan, tmp_path, max_files=1)
    assert texts(index) == {"1": "New.", "2": "Some text."}
    file(tmp_path, 1, article(1, "Old, revised."))
    index = PlainIndex()
    follow(index, source, new_baseline=True, max_files=1)
    file(tmp_path, 1, article(1, "Old, revised twice."))
    plan = make_plan(index, source)
    assert ([one.name for one in plan.pending], plan.waiting) == ([first], 2)


class Stopping(PlainIndex):
    """Stops before the so-manyth change, as a kill would."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self.left = changes

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def update(self, documents: Iterable[Any]) -> dict[str, int]:
        total: dict[str, int] = {}
        for document in documents:  # each its own batch
            self.count()
            counts = super().update([document])
            total = {name: total.get(name, 0) + count for name, count in counts.items()}
        return total or super().update([])

    def delete(self, ids: Iterable[str], *, keep_notices: bool = True) -> dict[str, int]:
        self.count()
        return super().delete(ids, keep_notices=keep_notices)

    def set_notices_of(self, notices: Mapping[str, Iterable[Notice]]) -> dict[str, int]:
        self.count()
        return super().set_notices_of(notices)

    def set_note(self, key: str, value: Any) -> None:
        self.count()
        super().set_note(key, value)


def state(index: PlainIndex) -> tuple[Any, ...]:
    return texts(index), {name: said for name, said in index.notices.items() if said}, index.notes


def test_stopped_before_any_change_the_next_sync_ends_where_one_sync_would(source: LocalFolder, tmp_path: Path) -> None:
    """Also after the file in which it stopped was published anew without a notice that was half taken in."""
    file(tmp_path, 1, article(1, mesh=KEPT), article(8, mesh=KEPT, links=(("RetractionOf", 1),)))
    file(tmp_path, 2, article(8, links=(("RetractionOf", 1),)), article(9, links=(("RetractionOf", 2),)), deletion(7))
    file(tmp_path, 3, article(9), article(2, version=2, mesh=KEPT), article(1, "New.", mesh=KEPT))
    whole = PlainIndex()
    follow(whole, source, HUMANS)
    stops = 0
    while True:
        index = Stopping(stops)
        try:
            follow(index, source, HUMANS)
            break
        except KeyboardInterrupt:
            stops += 1
        index.left = 10**9
        follow(index, source, HUMANS)
        assert state(index) == state(whole), stops
    assert stops > 10


class Watched(Stopping):
    """Looks at itself after every change."""

    look: Callable[[], None] = staticmethod(lambda: None)

    def count(self) -> None:
        self.look()
        super().count()

    def set_note(self, key: str, value: Any) -> None:
        super().set_note(key, value)
        self.look()


def again(tmp_path: Path) -> list[str]:
    """Three files whose last two revise, retract and delete what the first says."""
    first = (article(1, "A1.", mesh=KEPT), article(2, "B1.", mesh=KEPT), article(3, "C1.", mesh=KEPT))
    speaks = (("RetractionIn", 9),)
    return [
        file(tmp_path, 1, *first, article(4, version=2, mesh=KEPT), article(9)),
        file(tmp_path, 2, article(1, "A2.", mesh=KEPT, links=speaks), article(9, links=(("RetractionOf", 2),))),
        file(tmp_path, 3, article(2, "B3.", mesh=KEPT), article(5, mesh=KEPT), deletion(3, 4, version=None)),
        file(tmp_path, 4, article(4, "D4.", mesh=KEPT)),
    ]


def test_nothing_goes_back_in_time_while_a_file_published_anew_is_applied(source: LocalFolder, tmp_path: Path) -> None:
    """Stopped before any change, and whatever the limit, what is retracted, revised or deleted stays so."""
    again(tmp_path)
    before = Watched(10**9)
    follow(before, source, HUMANS)
    start = dict(before.stored), dict(before.notices), dict(before.notes)
    first = [article(n, f"{n} anew.", mesh=KEPT) for n in (1, 2, 3)]
    file(tmp_path, 1, *first, article(6, "F1.", mesh=KEPT), article(9), article(4, version=3, mesh=KEPT))
    newer = Notice("PMID:2", "retracted", "PMID:9", "2020")
    stops = 0
    while True:
        index = Watched(10**9)
        index.stored, index.notices, index.notes = map(dict, start)  # type: ignore[call-overload]

        def look(index: Watched = index, stops: int = stops) -> None:
            assert {**texts(index), "6": "F1."} == {**texts(before), "6": "F1."}, stops
            assert "retracted_by" in str(index.stored["PMID:1"].metadata) or index.stored["PMID:1"].text == "A2."
            assert newer in index.notices["outside:PMID:9"]

        index.look, index.left = look, stops  # type: ignore[method-assign]
        try:
            follow(index, source, max_files=1)
            break
        except KeyboardInterrupt:
            stops += 1
            look()
        index.left = 10**9
        plan = make_plan(index, source)
        assert len(plan.now(1)) in (0, 4)
        follow(index, source, max_files=1)
        assert texts(index) == {"1": "A2.", "2": "B3.", "4": "D4.", "5": "Some text.", "6": "F1."}
        assert make_plan(index, source).pending == ()
    assert stops > 4


def test_a_file_that_cannot_be_had_keeps_one_published_anew_from_being_applied(
    source: LocalFolder, tmp_path: Path
) -> None:
    again(tmp_path)
    index = PlainIndex()
    follow(index, source, HUMANS)
    file(tmp_path, 2, article(1, "Anew.", mesh=KEPT))

    class Lacking(LocalFolder):
        def fetch(self, file: Any, folder: Path) -> Any:
            if file.number == 4:
                raise CorpusError("no")
            return super().fetch(file, folder)

    was = state(index)
    index.notes = dict(index.notes)
    with pytest.raises(CorpusError, match="no"):
        follow(index, Lacking(tmp_path / "pubmed"))
    assert state(index) == was


def test_a_file_published_as_before_after_an_interruption_is_applied_again(source: LocalFolder, tmp_path: Path) -> None:
    again(tmp_path)
    index = Stopping(10**9)
    follow(index, source, HUMANS)
    end = texts(index)
    file(tmp_path, 1, article(6, mesh=KEPT), article(7, mesh=KEPT))
    index.left = 2
    with pytest.raises(KeyboardInterrupt):
        follow(index, source)
    index.left = 10**9
    assert "6" in texts(index)
    names = again(tmp_path)
    plan = make_plan(index, source)
    assert (plan.reissued, plan.replayed) == (names[0], 4)
    follow(index, source)
    assert texts(index) == {**end, "6": "Some text."}


def test_a_retracted_article_stays_out_of_every_search_while_its_file_is_applied_again(
    source: LocalFolder, tmp_path: Path, toy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    speaks = {"mesh": KEPT, "links": (("RetractionIn", 9),)}
    file(tmp_path, 1, article(1, "Renal stone.", mesh=KEPT), article(2, "Renal mass."), article(3, "Renal cyst."))
    file(tmp_path, 2, article(1, "Renal stone.", **speaks), deletion(3))
    with HybridIndex.create(tmp_path / "index", encoder=toy()) as index:
        follow(index, source)
        file(tmp_path, 1, article(1, "Renal stone, anew."), article(2, "Renal mass, anew."), article(3, "Renal cyst."))
        seen: list[set[str]] = []

        def watched(method: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                result = method(*arguments, **options)
                seen.append({hit.passage.text for hit in index.search("renal")})
                return result

            return call

        for name in ("update", "delete", "set_notices_of", "set_note"):
            monkeypatch.setattr(index, name, watched(getattr(index, name)))
        follow(index, source, max_files=1)
        assert [one for one in seen if one not in ({"Renal mass."}, {"Renal mass, anew."})] == []
        assert seen[-1] == {"Renal mass, anew."}
        assert index.verify() == []


def test_a_half_applied_file_published_anew_leaves_no_notice_behind(source: LocalFolder, tmp_path: Path) -> None:
    file(tmp_path, 1, article(1, mesh=KEPT))
    plain = PlainIndex()
    follow(plain, source, HUMANS)
    for stops in range(12):
        file(tmp_path, 2, article(9, links=(("RetractionOf", 1),)))
        index = Stopping(10**9)
        index.stored, index.notes = dict(plain.stored), dict(plain.notes)
        index.left = stops
        try:
            follow(index, source, HUMANS)
        except KeyboardInterrupt:
            index.left = 10**9
            file(tmp_path, 2, article(9))
            follow(index, source, HUMANS)
            assert not any(index.notices.values()), stops


def test_a_retraction_holds_while_its_notice_leaves_the_selection(source: LocalFolder, tmp_path: Path) -> None:
    """What retracts moves from the index to outside; whoever reads in between still sees it."""

    class Speaking(PlainIndex):
        def said(self) -> bool:
            inside = "PMID:9" in self.stored and "retraction_of" in self.stored["PMID:9"].metadata
            return inside or bool(self.notices.get("outside:PMID:9"))

        def update(self, documents: Iterable[Any]) -> dict[str, int]:
            return self.seen(super().update(documents))

        def delete(self, ids: Iterable[str], *, keep_notices: bool = True) -> dict[str, int]:
            return self.seen(super().delete(ids, keep_notices=keep_notices))

        def set_notices_of(self, notices: Mapping[str, Iterable[Notice]]) -> dict[str, int]:
            return self.seen(super().set_notices_of(notices))

        def seen(self, result: Any) -> Any:
            assert self.said()
            return result

    index = Speaking()
    speaks = (("RetractionOf", 1),)
    file(tmp_path, 1, article(1, mesh=KEPT), article(9, mesh=KEPT, links=speaks))
    follow(index, source, HUMANS)
    file(tmp_path, 2, article(9, links=speaks))
    follow(index, source)
    assert index.notices["outside:PMID:9"]
    file(tmp_path, 3, article(9, mesh=KEPT, links=speaks))
    follow(index, source)
    assert "PMID:9" in index.stored


def test_a_plan_that_another_sync_overtook_is_refused(source: LocalFolder, tmp_path: Path) -> None:
    index = PlainIndex()
    file(tmp_path, 1, article(1))
    file(tmp_path, 2, article(2))
    plan = make_plan(index, source)
    follow(index, source, max_files=1)
    with pytest.raises(IndexStateError, match=r"pubmed26n0001\.xml\.gz was applied by another sync"):
        sync(index, source, plan, tmp_path)

    class Overtaken(LocalFolder):
        def fetch(self, file: Any, folder: Path) -> Any:
            follow(index, source)
            return super().fetch(file, folder)

    with pytest.raises(IndexStateError, match=r"pubmed26n0002\.xml\.gz was applied by another sync"):
        follow(index, Overtaken(tmp_path / "pubmed"))


EVENT = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.integers(1, 3), st.booleans(), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.sampled_from([None, 1, 2, 3])),
)
HELD = st.tuples(st.integers(1, 5), st.tuples(*(st.integers(1, 3),) * 3, st.just(True), st.integers(1, 3)))
FILE = st.lists(EVENT, max_size=4).map(lambda records: sorted(records, key=len, reverse=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(FILE, min_size=2, max_size=4), st.data())
def test_files_applied_together_end_as_one_after_the_other(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[Any]], data: st.DataObject
) -> None:
    """Within a file the dates of revision go forth and back; a later file revises later; a search brought some."""
    folder = tmp_path_factory.mktemp("together")

    def record(number: int, one: tuple[Any, ...]) -> str:
        if len(one) == 2:
            return deletion(one[0], version=one[1])
        options = {"links": (("ErratumFor", 70 + one[1]),), "revised": f"2026-{number:02}-{one[4]:02}"}
        return article(one[0], f"Text {one[1]}.", version=one[2], mesh=KEPT * one[3], **options)

    def write(number: int, records: list[Any]) -> Path:
        made = [record(number, one) for one in records]
        return put(folder, f"pubmed26n{number:04}.xml.gz", *made)

    paths = [write(number, records) for number, records in enumerate(files, start=1)]
    together, apart = PlainIndex(), PlainIndex()
    for index in (together, apart):
        for path in paths:
            Applier(index, HUMANS).apply(path)
    changed = data.draw(st.integers(1, len(files)))
    write(changed, data.draw(FILE))
    held = [record(*one) for one in data.draw(st.lists(HELD, max_size=2))]
    for index in (together, apart):
        index.update(read_pubmed(put(folder / "found", paths[0].name, *held)))
    Applier(together, HUMANS).apply(*paths)
    applier = Applier(apart, HUMANS)
    for path in paths:
        applier.apply(path)
    assert texts(together) == texts(apart)
    assert state(together)[1] == state(apart)[1]


def test_an_article_deleted_by_a_file_published_anew_comes_again_in_a_lower_version(
    source: LocalFolder, tmp_path: Path
) -> None:
    index = PlainIndex()
    file(tmp_path, 1, article(1, "Two.", version=2))
    file(tmp_path, 2, article(2))
    file(tmp_path, 3, article(1, "One."))
    follow(index, source)
    assert texts(index)["1"] == "Two."
    file(tmp_path, 2, article(2), deletion(1, version=2))
    assert some(follow(index, source)) == {"deleted": 1, "added": 1, "skipped": 1}
    assert texts(index) == {"1": "One.", "2": "Some text."}


def test_who_cannot_have_the_right_to_sync_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "sync.lock").write_bytes(b"x" * 4096)
    with pytest.raises(IndexStateError, match=r"sync\.lock was altered; delete that file"), only_sync(tmp_path):
        pass
    with pytest.raises(IndexStateError, match="cannot be opened or written"), only_sync(tmp_path / "none"):
        pass


def test_one_sync_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(IndexStateError, match=r"another sync of .* is running")
    with only_sync(tmp_path), refused, only_sync(tmp_path):
        pass
    with only_sync(tmp_path):
        pass


CHILD = """
import os, signal, sys
from pathlib import Path
from radrag.corpora.pubmed_server import LocalFolder
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.pubmed_sync import make_plan, sync

sys.path.insert(0, sys.argv[3])
from conftest import ToyEncoder

folder, left = Path(sys.argv[1]), int(sys.argv[2])
index = HybridIndex.open(folder / "index", encoder=ToyEncoder())
database = index._db
transaction = database.transaction

def counted():
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return transaction()

database.transaction = counted
source = LocalFolder(folder / "pubmed")
sync(index, source, make_plan(index, source), folder)
"""


def test_killed_again_and_again_nothing_is_lost_or_double(
    source: LocalFolder, tmp_path: Path, toy: Callable[..., Any]
) -> None:
    file(tmp_path, 1, *(article(n, f"Renal stone {n}.", mesh=KEPT) for n in range(1, 30)))
    file(tmp_path, 2, article(90, links=(("RetractionOf", 1),)), article(91, links=(("ErratumFor", 2),)), deletion(3))
    file(tmp_path, 3, article(4, "Renal cyst.", mesh=KEPT), article(91), article(5))
    with HybridIndex.create(tmp_path / "index", encoder=toy()) as index:
        follow(index, source, HUMANS, max_files=1)
    for left in (1, 3):
        command = [sys.executable, "-c", CHILD, str(tmp_path), str(left), str(Path(__file__).parent)]
        ended = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    with HybridIndex.open(tmp_path / "index", encoder=toy()) as index:
        follow(index, source)
        assert index.verify() == []
        found = [document.id for document in index.documents()]
        assert sorted(found) == sorted({f"PMID:{n}" for n in range(1, 30)} - {"PMID:3", "PMID:5"})
        assert index.document("PMID:4").text == "Renal cyst."
        shown = {hit.passage.document_id for hit in index.search("renal", k=50)}
        assert shown == set(found) - {"PMID:1"}
        assert index.flags(["PMID:1", "PMID:2"]) == {"PMID:1": ("retracted",), "PMID:2": ()}


def test_what_was_applied_is_remembered_with_its_digest(
    source: LocalFolder, tmp_path: Path, toy: Callable[..., Any]
) -> None:
    name = file(tmp_path, 1, article(1, version=2))
    with HybridIndex.create(tmp_path / "index", encoder=toy()) as index:
        follow(index, source)
        digest = hashlib.md5((tmp_path / "pubmed" / name).read_bytes(), usedforsecurity=False).hexdigest()
        assert make_plan(index, source).before == {name: digest}
        assert index.get_note("pubmed versions") == {"PMID:1": 2}


LINKS = {
    "RetractionOf": "retracted",
    "PartialRetractionOf": "partially retracted",
    "ExpressionOfConcernFor": "expression of concern",
    "ErratumFor": "corrected",
    "RetractedandRepublishedFrom": "retracted",
}
OWN = {"RetractionIn": "retracted", "ExpressionOfConcernIn": "expression of concern", "CommentIn": None}
NOTICES = dict.fromkeys(("RetractionOf", "PartialRetractionOf"), "retraction notice")
ARTICLE = st.tuples(st.sampled_from([1, 2, 3]), st.booleans(), st.sampled_from([None, *OWN]), st.just(0))
NOTICE = st.tuples(st.sampled_from([8, 9]), st.booleans(), st.sampled_from([None, *LINKS]), st.sampled_from([1, 2, 3]))
GONE = st.sampled_from([1, 2, 3, 8, 9])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.one_of(ARTICLE, NOTICE, GONE), min_size=1, max_size=5), min_size=2, max_size=4))
def test_flags_are_those_of_the_records_as_they_stand(
    toy: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, files: list[list[Any]]
) -> None:
    """Whatever comes first, article or notice, and whichever of them is selected, revised, deleted or comes again."""
    folder = tmp_path_factory.mktemp("flags")
    kept: dict[int, set[str]] = {}
    said: dict[int, tuple[int, str]] = {}
    for number, records in enumerate(files, start=1):
        written = []
        for record in sorted(records, key=lambda record: isinstance(record, int)):
            pmid, selected, link, target = (record, False, None, 0) if isinstance(record, int) else record
            kept.pop(pmid, None)
            said.pop(pmid, None)
            if isinstance(record, int):
                written.append(deletion(record))
                continue
            links = ((link, target or 99),) if link else ()
            written.append(article(pmid, f"Renal {pmid}.", mesh=KEPT if selected else (), links=links))
            if selected:
                kept[pmid] = {flag for flag in (OWN.get(link), NOTICES.get(link)) if flag}
            if link in LINKS:
                said[pmid] = (target, LINKS[link])
        put(folder / "pubmed", f"pubmed26n{number:04}.xml.gz", *written)
    flags = {pmid: own | {kind for target, kind in said.values() if target == pmid} for pmid, own in kept.items()}
    with HybridIndex.create(folder / "index", encoder=toy()) as index:
        follow(index, LocalFolder(folder / "pubmed"), HUMANS)
        found = {hit.passage.document_id: hit.passage.flags for hit in index.search("renal", include_retracted=True)}
        assert {name: set(shown) for name, shown in found.items()} == {f"PMID:{n}": one for n, one in flags.items()}
        sound = {f"PMID:{pmid}" for pmid, one in flags.items() if not one & {"retracted", "retraction notice"}}
        assert {hit.passage.document_id for hit in index.search("renal")} == sound
        assert index.verify() == []


def test_what_is_left_of_a_year_comes_before_the_next_baseline(source: LocalFolder, tmp_path: Path) -> None:
    index = PlainIndex()
    file(tmp_path, 1, article(1, "Old."), article(2))
    follow(index, source)
    second = file(tmp_path, 2, article(1, "Revised."), deletion(2))
    for number in (1, 2):
        put(tmp_path / "pubmed" / "baseline", f"pubmed27n{number:04}.xml.gz", article(number + 2))
    plan = make_plan(index, source)
    assert ([one.name for one in plan.pending], plan.waiting, plan.new_baseline) == ([second], 2, False)
    sync(index, source, plan, tmp_path)
    assert texts(index) == {"1": "Revised."}
    with pytest.raises(IndexStateError, match="--new-baseline"):
        make_plan(index, source)
    plan = make_plan(index, source, new_baseline=True)
    assert (len(plan.pending), plan.waiting, plan.new_baseline) == (2, 0, True)


def test_an_answer_never_rests_on_what_a_later_file_retracts(source: LocalFolder, tmp_path: Path) -> None:
    """The notice comes first unselected, the article is then revised, deleted and comes again: it stays retracted."""
    from radrag import QAPipeline

    claim = "Low-dose CT screening reduced lung cancer mortality by 20 percent in heavy smokers."
    other = "Low-dose CT screening reduced lung cancer mortality in a trial of former smokers."
    question = "Does low-dose CT screening reduce lung cancer mortality?"
    with HybridIndex.create(tmp_path / "index") as index:

        def cited() -> tuple[set[str], set[str]]:
            answer = QAPipeline(index, min_confidence=0.0)(question)
            found = [citation for one in answer.claims for citation in one.citations]
            return {one.document_id for one in found}, {flag for one in found for flag in one.flags}

        file(tmp_path, 1, article(1, claim, mesh=KEPT), article(2, other, mesh=KEPT))
        follow(index, source, HUMANS)
        assert cited() == ({"PMID:2"}, set())
        file(tmp_path, 2, article(9, links=(("RetractionOf", 2), ("ExpressionOfConcernFor", 1))))
        follow(index, source)
        assert cited() == ({"PMID:1"}, {"expression of concern"})
        file(tmp_path, 3, article(2, f"{other} Revised.", mesh=KEPT), article(9, links=(("RetractionOf", 2),)))
        follow(index, source)
        assert cited() == ({"PMID:1"}, set())
        file(tmp_path, 4, deletion(2))
        file(tmp_path, 5, article(2, other, mesh=KEPT))
        follow(index, source)
        assert "PMID:2" in {document.id for document in index.documents()}
        assert cited() == ({"PMID:1"}, set())
        file(tmp_path, 6, article(9))
        follow(index, source)
        assert cited() == ({"PMID:2"}, set())


def test_a_damaged_record_is_left_out_on_demand_and_named(source: LocalFolder, tmp_path: Path) -> None:
    index = PlainIndex()
    name = file(tmp_path, 1, article(1), article(2).replace(">2</PMID>", ">two</PMID>", 1), "<Surprise/>", article(3))
    with pytest.raises(CorpusError, match="record 2, field PMID"):
        follow(index, source)
    plan = make_plan(index, source)
    report = sync(index, source, plan, tmp_path, skip_damaged=True)
    assert [error.partition(":")[0] for error in report.damaged] == [
        f"file {tmp_path / 'pubmed' / name}, record 2, field PMID",
        f"file {tmp_path / 'pubmed' / name}, record 3, field Surprise",
    ]
    assert texts(index).keys() == {"1", "3"}
    assert make_plan(index, source).pending == ()
