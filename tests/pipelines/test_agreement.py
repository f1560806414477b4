"""What sources report, document by document; and what of it an answer shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from radrag.corpora import load_conflicts, load_evidence
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.agreement import Flags, agreement, agreement_of
from radrag.pipelines.qa import QAPipeline
from radrag.reading.extractive import ExtractiveReader
from radrag.types import Answer, Citation, Claim, Hit, Notice, Passage
from radrag.types.agreement import Agreement

QUESTION = "Does zinc shorten pneumonia in children?"
FOR = "Zinc shortened pneumonia in children: symptoms were significantly fewer with zinc."
AGAINST = "Zinc did not change pneumonia in children: symptoms showed no significant difference with zinc."


def hit(name: str, text: str, **metadata: object) -> Hit:
    return Hit(Passage(name, 0, len(text), text, title="Zinc for pneumonia", metadata=metadata), 1.0)


def claim(*names: str) -> Claim:
    return Claim("x", tuple(Citation(n, name, n, 0, 1, "x") for n, name in enumerate(names, 1)), True, 1.0)


def test_sources_on_both_sides_are_named_and_retracted_ones_never_count() -> None:
    hits = [hit("a", FOR), hit("b", AGAINST), hit("c", AGAINST, retracted=True)]
    hits.append(hit("d", AGAINST, publication_types=["Retraction of Publication"]))
    found = agreement(QUESTION, hits)
    assert (found.support, found.contradict) == (("a",), ("b",))
    assert found.conflict
    assert str(found) == "Read by rules, so check the sources: 1 reports an effect [a], 1 reports none or harm [b]"
    assert not agreement(QUESTION, hits[:1]).conflict
    assert agreement(QUESTION, []) == Agreement()
    assert str(Agreement()) == "no source was read"


def test_what_is_on_something_else_takes_no_side() -> None:
    other = Hit(Passage("d", 0, 60, "Statins did not change the rate of fractures at ten years.", title="Statins"), 1.0)
    found = agreement(QUESTION, [hit("a", FOR), other])
    assert (found.support, found.contradict, found.unclear) == (("a",), (), ())


def test_what_is_near_but_lacks_the_words_of_the_question_takes_no_side() -> None:
    long = (
        "Two hospitals gave daily tablets or syrup for a week to all who came, and pneumonia of children was "
        "significantly shortened by zinc as against that of the year before in either place."
    )
    old = "Pneumonia in the old did not differ."
    hits = [hit("a", long), Hit(Passage("e", 0, len(old), old, title="Old age"), 1.0)]
    near = {one.key: one.cosine for one in ExtractiveReader().scored(QUESTION, hits)}
    assert near[2] > 0.7 * near[1] > 0  # so it is left out for its words alone
    assert agreement(QUESTION, hits) == Agreement(support=("a",))


def test_only_what_counts_is_read() -> None:
    hits = [hit("page", AGAINST), hit("a", FOR)]
    assert agreement(QUESTION, hits, counts=lambda name: name == "a") == Agreement(support=("a",))


def test_a_line_has_the_numbers_of_what_is_cited() -> None:
    found = Agreement(("x", "y", "z"), ("w",), ("v", "u"))
    assert found.summary({"z": 1, "w": 2, "elsewhere": 9}) == (
        "Read by rules, so check the sources: 3 report an effect [1][x][y], 1 reports none or harm [2], "
        "2 leave it open [v][u]"
    )
    assert list(found.lines({})) == []  # read by rules alone: not shown
    assert list(Agreement(("x",), (), (), ("Known to conflict: A?",)).lines({})) == ["Known to conflict: A?"]


KNOWN = load_conflicts()[0]  # zinc for pneumonia in children


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("agreement") / "index") as made:
        wanted = {*KNOWN.documents, "PMID:29355075", "PMID:23731573", "PMID:26478730"}
        made.add([one for one in load_evidence() if one.id in wanted])
        yield made


def test_a_set_counts_if_one_is_cited_and_another_found(index: HybridIndex) -> None:
    one, other = KNOWN.documents[:2]
    hits = [hit(one, FOR), hit(other, AGAINST)]

    def told(hits: list[Hit], cited: tuple[str, ...], form: str = "yesno") -> Agreement | None:
        return agreement_of(QUESTION, form, hits, [claim(*cited)], lambda _: "digest", index.flags)

    found = told(hits, (one,))
    assert found is not None
    assert found.known == (f"Known to conflict: {KNOWN.question} {KNOWN.summary}",)
    assert (found.support, found.contradict) == ((one,), (other,))
    assert told(hits, ("elsewhere",)) is None
    assert told(hits[:1], (one,)) is None
    assert told([hits[0], hit(other, AGAINST, retracted=True)], (one,)) is None
    assert told([hits[0], hit(other, AGAINST, retraction_of=["1"])], (one,)) is None
    assert told(hits, (one,), "summary") is None
    noticed = [*hits, hit(other, AGAINST, retraction_of=["1"])]
    assert agreement_of(QUESTION, "yesno", noticed, [claim(one)], lambda _: "digest") is None
    pages = agreement_of(QUESTION, "yesno", hits, [claim(one)], lambda _: "guideline")
    assert pages == Agreement(known=found.known)


def test_a_set_with_a_retracted_document_is_not_told_and_other_flags_are(index: HybridIndex) -> None:
    three = next(one for one in load_conflicts() if "PMID:22550478" in one.documents)  # H. pylori, three documents
    unfound, *others = three.documents
    hits = [hit(name, FOR) for name in others]

    def told(flags: Flags) -> tuple[str, ...]:
        found = agreement_of(QUESTION, "yesno", hits, [claim(others[0])], lambda _: "digest", flags)
        return found.known if found is not None else ()

    line = f"Known to conflict: {three.question} {three.summary}"
    assert told(index.flags) == (line,)
    try:
        for target in (unfound, *others):  # none is stored; a search would not return a retracted one either
            index.set_notices("watch", [Notice(target, "retracted"), Notice(target, "corrected")])
            assert told(index.flags) == ()
        index.set_notices("watch", [Notice(unfound, "corrected"), Notice(unfound, "expression of concern")])
        assert told(index.flags) == (f"{line} [{unfound}: EXPRESSION OF CONCERN, CORRECTED]",)
    finally:
        index.set_notices("watch", [])


def test_without_a_store_to_ask_the_flags_of_the_hits_count() -> None:
    one, other = KNOWN.documents[:2]
    hits = [hit(one, FOR), hit(other, AGAINST)]
    flagged = Hit(replace(hits[1].passage, flags=("updated",)), 1.0)
    found = agreement_of(QUESTION, "yesno", [hits[0], flagged], [claim(one)], lambda _: "digest")
    assert found is not None
    assert found.known == (f"Known to conflict: {KNOWN.question} {KNOWN.summary} [{other}: UPDATED]",)


def test_an_answer_states_the_conflict_and_keeps_its_verdict(index: HybridIndex) -> None:
    qa = QAPipeline(index, min_confidence=0.0)
    answer = qa(KNOWN.question)
    assert answer.agreement is not None
    line = f"Known to conflict: {KNOWN.question}"
    assert line in " ".join(str(answer).split())
    assert f"> {line}" in answer.to_markdown()
    assert "Sources conflict; leans to " in answer.to_html()
    assert f'<p class="differ">{line}' in answer.to_html()
    assert Answer.from_dict(answer.to_dict()) == answer
    alone = QAPipeline(index, min_confidence=0.0, where={"document_id": KNOWN.documents[1]})(KNOWN.question)
    assert alone.agreement is None
    assert "Known to conflict" not in str(alone)
    drafted = qa._reader.read([KNOWN.question], [answer.evidence])[0]
    assert answer.verdict == drafted.verdict


def test_no_conflict_is_stated_where_none_is_known(index: HybridIndex, tmp_path: Path) -> None:
    answer = QAPipeline(index, min_confidence=0.0)("Does N-acetylcysteine prevent contrast nephropathy?")
    assert answer.citations
    assert answer.agreement is None
    other = QAPipeline(index, min_confidence=0.0)("Which drug was given to Gambian children with pneumonia?")
    assert other.agreement is None


def test_an_answer_tells_no_conflict_that_rests_on_a_retracted_document(tmp_path: Path) -> None:
    three = next(one for one in load_conflicts() if "PMID:22550478" in one.documents)
    with HybridIndex.create(tmp_path / "index") as index:
        index.add([one for one in load_evidence() if one.id in three.documents])

        def told() -> str:
            answer = QAPipeline(index, min_confidence=0.0)(three.question)
            return " ".join(answer.agreement.known) if answer.agreement is not None else ""

        assert told() == f"Known to conflict: {three.question} {three.summary}"
        index.set_notices("watch", [Notice("PMID:22550478", "expression of concern")])
        assert told().endswith(" [PMID:22550478: EXPRESSION OF CONCERN]")
        index.set_notices("watch", [Notice("PMID:22550478", "retracted")])
        assert told() == ""
