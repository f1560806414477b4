"""The labelling pipeline from notes to cited labels, on made and on shipped notes."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.calibration import conformal_set
from radrag.corpora import corpus_folder, read_labelled_notes, read_markdown
from radrag.errors import IndexMismatchError, ModelError
from radrag.generation.llama import LlamaGenerator
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling import LabelSet
from radrag.pipelines.label import LabelPipeline
from radrag.types import Chat, Document, Generation, GenerationParams, Label, LabelledNote

FEWER = ["text", "neighbours", "guidelines"]
NOTE = "Notes: r/o PE. History: pleuritic chest pain and SOB after a flight"


class FakeScorer:
    """Likes the label whose id shares most letters with the last turn; remembers the chats."""

    fingerprint = "fake:1"
    local = True

    def __init__(self) -> None:
        self.chats: list[Chat] = []

    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        raise AssertionError("labels are scored, not written")

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
        self.chats.extend(chats)
        rows = []
        for chat in chats:
            digest = hashlib.sha256(chat[-1].content.encode()).digest()
            rows.append([-1.0 - digest[place % 32] / 64 for place, _ in enumerate(options)])
        return np.asarray(rows)


class OnlyWriter:
    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        raise AssertionError("never asked")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("label") / "index") as made:
        made.add(read_markdown(corpus_folder("protocols")))
        yield made


@pytest.fixture(scope="module")
def labels(index: HybridIndex) -> LabelSet:
    return LabelSet.from_protocols(index.documents())


@pytest.fixture(scope="module")
def notes() -> list[LabelledNote]:
    return list(read_labelled_notes(corpus_folder("protocol-notes") / "train.jsonl"))[:700]


@pytest.fixture(scope="module")
def fitted(index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]) -> LabelPipeline:
    return LabelPipeline(index, labels=labels).fit(notes[:500])


def test_unfitted_labels_cite_and_say_that_they_are_not_calibrated(index: HybridIndex, labels: LabelSet) -> None:
    result = LabelPipeline(index, None, labels=labels)("haematuria, follow-up of urothelial cancer")
    assert result.label == "ct-urography"
    assert not result.calibrated
    assert result.set == ()
    assert "not calibrated" in result.warnings[0]
    assert "uncalibrated score" in str(result)
    assert "urothelial cancer" in {span.text for span in result.evidence}
    assert result.citations[0].document_id == "ct-urography"
    assert sum(p for _, p in result.ranking) == pytest.approx(1)


def test_fitted_label_with_everything_that_backs_it(fitted: LabelPipeline, index: HybridIndex) -> None:
    result = fitted(NOTE)
    assert result.label == "ct-pulmonary-angiography"
    assert result.calibrated
    assert result.set[0] == result.label == result.ranking[0][0]
    assert result.probability == result.ranking[0][1] == max(p for _, p in result.ranking)
    assert len(result.ranking) == len(fitted.labels) == 104
    assert result.evidence
    assert all(NOTE[span.start : span.end] == span.text for span in result.evidence)
    (citation,) = result.citations
    assert index.document(citation.document_id).text[citation.start : citation.end] == citation.quote
    manifest = result.manifest
    assert manifest["index"] == index.manifest["content"]
    assert manifest["labels"] == fitted.labels.fingerprint
    assert set(manifest["weights"]) == {"text", "characters", "neighbours", "guidelines"}
    json.dumps(result.to_dict())


def test_held_out_notes_are_covered_and_mostly_right(fitted: LabelPipeline, notes: list[LabelledNote]) -> None:
    known = {note.group for note in notes[:500]}
    held = [note for note in notes[500:] if note.group not in known]
    results = fitted.batch([note.text for note in held])
    right = [result.label == note.label for result, note in zip(results, held, strict=True)]
    covered = [note.label in result.set for result, note in zip(results, held, strict=True)]
    assert len(held) > 60
    assert np.mean(right) > 0.7
    assert np.mean(covered) > 0.8
    assert np.mean([result.probability for result in results]) == pytest.approx(np.mean(right), abs=0.12)


def test_fifty_notes_are_enough_and_unseen_labels_are_named(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    few = LabelPipeline(index, labels=labels).fit(notes[:50])
    seen = {note.label for note in notes[:50]}
    result = few(NOTE)
    assert any(f"{104 - len(seen)} of 104 labels had no example" in warning for warning in result.warnings)
    held = [note for note in notes[500:] if note.label in seen]
    pairs = list(zip(few.batch([note.text for note in held]), held, strict=True))
    assert len(held) > 60
    assert np.mean([result.label == note.label for result, note in pairs]) > 0.4
    assert np.mean([note.label in result.set for result, note in pairs]) > 0.8


def test_batch_takes_columns_and_keeps_order(fitted: LabelPipeline, notes: list[LabelledNote]) -> None:
    pandas = pytest.importorskip("pandas")
    texts = [note.text for note in notes[500:530]]
    expected = [result.label for result in map(fitted, texts)]
    column = pandas.DataFrame({"note": texts}, index=range(100, 130))["note"]
    for given in (texts, tuple(texts), column, column.to_numpy(), iter(texts)):
        results = fitted.batch(given)
        assert [result.label for result in results] == expected
        assert [result.note for result in results] == texts
    assert fitted.batch([]) == []


def test_probabilities_are_those_of_the_results_in_the_order_of_the_labels(
    fitted: LabelPipeline, index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    texts = [note.text for note in notes[500:530]]
    for pipeline in (fitted, fitted.without_retrieval(), LabelPipeline(index, None, labels=labels)):
        found = pipeline.probabilities(iter(texts))
        assert found.shape == (30, 104)
        for row, result in zip(found, pipeline.batch(texts), strict=True):
            assert dict(result.ranking) == pytest.approx(dict(zip(labels.ids, row.tolist(), strict=True)))
    assert fitted.probabilities([]).shape == (0, 104)
    with pytest.raises(ValueError, match="note 1 is blank"):
        fitted.probabilities(["one", " "])


def test_parts_of_a_batch_do_not_matter(
    fitted: LabelPipeline, notes: list[LabelledNote], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [note.text for note in notes[500:560]]
    whole, numbers = fitted.batch(texts), fitted.probabilities(texts)
    monkeypatch.setattr("radrag.pipelines.label._NOTES", 7)
    np.testing.assert_allclose(fitted.probabilities(texts), numbers, atol=1e-6)
    for one, other in zip(fitted.batch(texts), whole, strict=True):
        assert (one.note, one.label, one.set, one.evidence) == (other.note, other.label, other.set, other.evidence)
        assert (one.citations, one.warnings) == (other.citations, other.warnings)


@pytest.mark.parametrize(("sets", "coverage"), [("marginal", 0.2), ("marginal", 0.6), ("per-label", 0.2)])
def test_sets_are_those_of_conformal_set(
    index: HybridIndex,
    labels: LabelSet,
    notes: list[LabelledNote],
    sets: Literal["marginal", "per-label"],
    coverage: float,
) -> None:
    pipeline = LabelPipeline(index, None, labels=labels, use=["text"], sets=sets, coverage=coverage).fit(notes[:300])
    assert pipeline._ensemble is not None
    kept = pipeline._ensemble.calibration(retrieval=True)
    thresholds = kept.thresholds(coverage, len(labels), per_label=sets == "per-label").thresholds
    texts = [*(note.text for note in notes[300:400]), "words that nobody knows", "?"]
    results = pipeline.batch(texts)
    for row, result in zip(pipeline.probabilities(texts), results, strict=True):
        assert result.set == tuple(labels.ids[place] for place in conformal_set(row, thresholds))
    assert all(result.set for result in results)


def test_a_generator_elsewhere_gets_masked_notes_and_results_say_so(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    sent = FakeScorer()
    sent.local = False  # type: ignore[attr-defined]
    secret = "Pt John Smith, MRN 12345678: "
    pipeline = LabelPipeline(index, sent, labels=labels, use=["neighbours", "generator"])
    pipeline.fit([replace(note, text=secret + note.text) for note in notes[:60]])
    result = pipeline(secret + NOTE)
    assert len(sent.chats) > 60
    said = [turn.content for chat in sent.chats for turn in chat]
    assert not [one for one in said if "Smith" in one or "12345678" in one]
    assert sum("[MRN]" in one for one in said) > 60
    assert result.note == secret + NOTE
    assert any("identifiers that were found" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("bad", "what"), [("  \n", "is blank"), (None, "got NoneType"), (float("nan"), "got float nan")]
)
def test_bad_notes_are_named_by_position(fitted: LabelPipeline, bad: object, what: str) -> None:
    with pytest.raises(ValueError, match=f"note 2 .*{what}"):
        fitted.batch(["a", "b", bad])  # type: ignore[list-item]


def test_one_text_or_a_table_is_not_a_batch(fitted: LabelPipeline) -> None:
    pandas = pytest.importorskip("pandas")
    for given in ("a note", {"note": "text"}, pandas.DataFrame({"note": ["a"]})):
        with pytest.raises(TypeError, match="for one note call"):
            fitted.batch(given)


def test_words_that_nobody_knows(fitted: LabelPipeline) -> None:
    result = fitted("qqq zzz")
    assert result.evidence == ()
    assert result.probability < 0.5
    assert any("no word of the note" in warning for warning in result.warnings)


def test_copies_never_vouch_for_each_other(index: HybridIndex) -> None:
    # Labels are drawn at random, and each note comes five times. Were a copy used to score another, every probability
    # would be near 1; without leakage nothing can be learnt.
    rng = np.random.default_rng(0)
    labels = LabelSet(Label(name) for name in "abcd")
    words = [f"{first}{second}o" for first in "bdfgklmnrt" for second in "aeiouy"]
    examples = []
    for group in range(40):
        text = " ".join(rng.choice(words, 6))
        label = "abcd"[rng.integers(4)]
        named = f"g{group}" if group % 2 else ""  # half of them only found by their text
        examples += [LabelledNote(text.upper() if copy % 2 else text, label, group=named) for copy in range(5)]
    pipeline = LabelPipeline(index, labels=labels, encoder=index.encoder).fit(examples)
    assert np.mean([pipeline(note.text).probability for note in examples[::5]]) < 0.6
    assert pipeline.manifest["threshold"] < 0.3


def test_without_retrieval_retrieves_nothing(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = LabelPipeline(index, labels=labels).fit(notes[:300])
    alone = pipeline.without_retrieval()
    expected = alone(NOTE)
    assert set(alone.manifest["weights"]) == {"text", "characters"}
    assert alone.manifest["retrieval"] is False

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr("radrag.indexes.searcher.Searcher.search", refuse)
    monkeypatch.setattr("radrag.indexes.hybrid.HybridIndex.search", refuse)
    assert alone(NOTE) == expected
    assert expected.citations == ()
    assert not any("guideline" in warning for warning in expected.warnings)
    with pytest.raises(AssertionError, match="searched"):
        pipeline(NOTE)


def test_without_retrieval_is_the_same_text_model_with_its_own_temperature(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    alone = LabelPipeline(index, None, labels=labels, use=["text", "neighbours"]).fit(notes[:200]).without_retrieval()
    assert alone._ensemble is not None
    scores = alone._ensemble.scores([NOTE], "text")[0] * alone.manifest["weights"]["text"]
    p = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    if alone.manifest["calibrated_by"] == "temperature":
        assert alone(NOTE).probability == pytest.approx(p.max())
    assert alone(NOTE).label == labels.ids[int(p.argmax())]
    assert alone(NOTE).evidence[0].text


def test_unfitted_baseline_knows_names_and_definitions_only(index: HybridIndex, labels: LabelSet) -> None:
    alone = LabelPipeline(index, None, labels=labels).without_retrieval()
    bare = LabelPipeline(index, None, labels=LabelSet(Label(id) for id in labels.ids)).without_retrieval()
    assert alone("CT urogram").label == "ct-urography"
    assert bare("renal colic").ranking != alone("renal colic").ranking


def test_the_shipped_llama_labels_where_nothing_was_fitted_and_no_generator_given(
    index: HybridIndex, labels: LabelSet
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    llama = LlamaGenerator("small-llama", "small-llama-protocols", quantize="nf4", local_files_only=True)
    pipeline = LabelPipeline(index, labels=labels)
    assert pipeline(NOTE).manifest["generator"] == llama.fingerprint
    guided = dict(LabelPipeline(index, None, labels=labels)(NOTE).ranking)
    told = dict(LabelPipeline(index, llama, labels=labels, tuned="examples")(NOTE).ranking)
    both = {id: guided[id] * told[id] ** 0.5 for id in guided}
    for id, score in pipeline(NOTE).ranking[:5]:
        assert score == pytest.approx(both[id] / sum(both.values()), rel=1e-3)
    assert pipeline.without_retrieval()(NOTE).ranking != pipeline(NOTE).ranking
    assert LabelPipeline(index, labels=LabelSet([*labels, Label("new")]))._default is None  # not tuned on that one
    assert LabelPipeline(index, None, labels=labels)(NOTE).manifest["generator"] is None


def test_the_default_generator_needs_the_extra(
    index: HybridIndex, labels: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radrag.labelling.default.find_spec", lambda name: None)
    assert LabelPipeline(index, labels=labels)(NOTE).manifest["generator"] is None


def test_generator_scores_take_part_with_and_without_retrieval(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    scorer = FakeScorer()
    pipeline = LabelPipeline(index, scorer, labels=labels)
    assert not pipeline(NOTE).calibrated
    assert "Guideline passages" in scorer.chats[-1][-1].content
    pipeline.without_retrieval()(NOTE)
    assert "Guideline passages" not in scorer.chats[-1][-1].content
    scorer.chats.clear()
    pipeline.fit(notes[:400])
    assert len(scorer.chats) == 2 * 300  # a sample, once with and once without retrieval
    assert {len(chat) for chat in scorer.chats} == {2, 2 + 2 * 4}  # system and note, with or without four examples
    assert set(pipeline.manifest["weights"]) == {"text", "characters", "neighbours", "guidelines", "generator"}
    assert pipeline.manifest["calibrated_on"] == 300
    alone = pipeline.without_retrieval()
    assert set(alone.manifest["weights"]) == {"text", "characters", "generator alone"}
    assert pipeline.manifest["weights"]["generator"] < 0.5  # it is noise
    scorer.chats.clear()
    alone(NOTE)
    assert [len(chat) for chat in scorer.chats] == [2]


def test_examples_shown_to_the_generator_never_come_from_the_notes_own_group(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    scorer = FakeScorer()
    copies = [replace(note, text=note.text.upper(), id="") for note in notes[:40]]
    examples = notes[:40] + copies
    LabelPipeline(index, scorer, labels=labels).fit(examples)
    groups = {" ".join(note.text.split()): note.group for note in examples}
    shown = [chat for chat in scorer.chats if len(chat) > 2]
    assert len(shown) == 80
    for chat in shown:
        asked = chat[-1].content.split("<note>\n")[-1].split("\n</note>")[0]
        others = [
            turn.content.split("<note>\n")[-1].split("\n</note>")[0] for turn in chat[1:-1] if turn.role == "user"
        ]
        assert groups[asked] not in {groups[other] for other in others}


def test_tuned_generator_sees_the_note_alone(index: HybridIndex, labels: LabelSet) -> None:
    scorer = FakeScorer()
    LabelPipeline(index, scorer, labels=labels, tuned=True)(NOTE)
    assert [[turn.content for turn in chat] for chat in scorer.chats] == [[NOTE]]


def test_generator_that_cannot_score_is_named(index: HybridIndex, labels: LabelSet) -> None:
    result = LabelPipeline(index, OnlyWriter(), labels=labels)(NOTE)
    assert "the generator has no score method and took no part" in result.warnings


def test_generator_that_scores_wrongly_is_refused(index: HybridIndex, labels: LabelSet) -> None:
    class Short(FakeScorer):
        def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
            return np.zeros((len(chats), 2))

    with pytest.raises(ModelError, match=r"1 notes by 104 labels .* got shape \(1, 2\)"):
        LabelPipeline(index, Short(), labels=labels)(NOTE)


def test_labels_without_a_guideline_are_not_cited(index: HybridIndex) -> None:
    result = LabelPipeline(index, labels=LabelSet([Label("a", "Knee"), Label("b", "Head")]))("knee pain")
    assert (result.label, result.citations) == ("a", ())
    assert "the index has no guideline 'a' that can be cited" in result.warnings


@pytest.mark.parametrize("retrieval", [True, False])
def test_saved_and_loaded_it_says_the_same(
    fitted: LabelPipeline, index: HybridIndex, notes: list[LabelledNote], tmp_path: Path, retrieval: bool
) -> None:
    pipeline = fitted if retrieval else fitted.without_retrieval()
    pipeline.save(tmp_path / "p")
    pipeline.save(tmp_path / "p")  # again, in its own place
    again = LabelPipeline.load(tmp_path / "p", index)
    texts = [note.text for note in notes[500:520]]
    assert again.batch(texts) == pipeline.batch(texts)
    assert again.without_retrieval().batch(texts) == pipeline.without_retrieval().batch(texts)
    assert sorted(path.suffix for path in (tmp_path / "p").iterdir()) == [".json"] * 4 + [".safetensors"] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_load_refuses_what_it_was_not_made_with(
    fitted: LabelPipeline, index: HybridIndex, labels: LabelSet, tmp_path: Path
) -> None:
    folder = tmp_path / "p"
    fitted.save(folder)
    with HybridIndex.create(tmp_path / "other") as other:
        other.add([Document("x", "Some text.")])
        with pytest.raises(IndexMismatchError, match="the index has other documents"):
            LabelPipeline.load(folder, other)
    with pytest.raises(ModelError, match="made with generator None, but fake:1 is given"):
        LabelPipeline.load(folder, index, FakeScorer())
    with pytest.raises(ModelError, match=r"manifest\.json is missing"):
        LabelPipeline.load(tmp_path / "nowhere", index)
    manifest = json.loads((folder / "manifest.json").read_text())
    for change, message in [
        ({"format": 99}, "format 99, this version reads 2"),
        ({"labels": "0" * 64}, "label set was altered"),
        ({"tokenizer": "old"}, "splits words otherwise"),
        ({"encoder": "static:old"}, "pass encoder="),
    ]:
        (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises((ModelError, IndexMismatchError), match=message):
            LabelPipeline.load(folder, index)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "calibration.json").write_text("{}")
    with pytest.raises(ModelError, match=r"calibration\.json is missing or is not what was saved"):
        LabelPipeline.load(folder, index)


def test_save_never_replaces_something_else(
    fitted: LabelPipeline, index: HybridIndex, labels: LabelSet, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ModelError, match="is not a saved pipeline"):
        fitted.save(tmp_path)
    with pytest.raises(ValueError, match="nothing to save before fit"):
        LabelPipeline(index, labels=labels).save(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_save_that_fails_leaves_the_old_one(
    fitted: LabelPipeline, index: HybridIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.save(tmp_path / "p")

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("radrag.labelling.neighbours.write_arrays", fail)
    with pytest.raises(OSError, match="disk full"):
        fitted.save(tmp_path / "p")
    assert LabelPipeline.load(tmp_path / "p", index)(NOTE).label == fitted(NOTE).label
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_fit_refuses_what_it_cannot_learn_from(index: HybridIndex, labels: LabelSet) -> None:
    one, other = labels.ids[:2]
    pipeline = LabelPipeline(index, labels=labels)
    with pytest.raises(ValueError, match="example 1 has the label 'nope', which is not in the label set"):
        pipeline.fit([LabelledNote("a", one), LabelledNote("b", "nope")])
    with pytest.raises(ValueError, match="at least 2 different labels, got 1"):
        pipeline.fit([LabelledNote(f"note {word}", one) for word in "abcdef"])
    with pytest.raises(ValueError, match="at least 2 different labels, got 0"):
        pipeline.fit([])
    with pytest.raises(
        ValueError, match="3 groups of notes cannot be split into 5 folds; give notes of 5 groups or more"
    ):
        pipeline.fit([LabelledNote(f"note {word}", label) for word in "abc" for label in (one, other)])
    with pytest.raises(ValueError, match="example 0 has no text"):
        pipeline.fit([LabelledNote(" ", one)])
    assert not pipeline.fitted


def test_notes_of_their_own_calibrate_and_are_learnt_from_if_so_wished(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    known = {note.group for note in notes[:300]}
    apart = [note for note in notes[300:] if note.group not in known]
    half = len(apart) // 2
    # Notes in another tongue: nothing that was learnt helps, so only sets of many labels can hold the right one.
    strange = [replace(note, text=note.text[::-1]) for note in apart]
    examples = LabelPipeline(index, labels=labels, use=FEWER).fit(notes[:300])
    plain = LabelPipeline(index, labels=labels, use=FEWER).fit(notes[:300], apart[:half])
    odd = LabelPipeline(index, labels=labels, use=FEWER).fit(notes[:300], strange[:half])
    assert plain.manifest["calibrated_on"] == half
    assert plain.manifest["examples"] == odd.manifest["examples"] == 300
    texts = [note.text for note in strange[half:]]
    held = {
        name: np.mean(
            [note.label in result.set for note, result in zip(strange[half:], made.batch(texts), strict=True)]
        )
        for name, made in (("examples", examples), ("odd", odd))
    }
    assert held["examples"] < 0.5
    assert held["odd"] > 0.8
    taught = LabelPipeline(index, labels=labels, use=FEWER).fit(notes[:300], strange[:half], learn=True)
    assert taught.manifest["examples"] == 300 + half
    assert taught.manifest["calibrated_on"] == half
    right = {
        name: np.mean(
            [note.label == found.label for note, found in zip(strange[half:], made.batch(texts), strict=True)]
        )
        for name, made in (("taught", taught), ("odd", odd))
    }
    assert right["taught"] > right["odd"] + 0.1
    assert plain.batch([NOTE])[0].label == examples.batch([NOTE])[0].label


def test_calibration_notes_must_be_apart(index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]) -> None:
    pipeline = LabelPipeline(index, labels=labels)
    with pytest.raises(ValueError, match="calibration note 1 is among the examples too"):
        pipeline.fit(notes[:50], [LabelledNote("something else", notes[0].label), notes[3]])
    with pytest.raises(ValueError, match="calibration note 0 has the label 'nope'"):
        pipeline.fit(notes[:50], [LabelledNote("something else", "nope")])
    with pytest.raises(ValueError, match="3 groups of notes cannot be split into 5 folds"):
        pipeline.fit(notes[:50], [LabelledNote(f"odd {word}", labels.ids[n]) for n, word in enumerate("abc")])
    assert not pipeline.fitted


def test_constructor_checks_its_arguments(index: HybridIndex, labels: LabelSet) -> None:
    with pytest.raises(ValueError, match=r"coverage must lie between 0 and 1, got 1\.0"):
        LabelPipeline(index, labels=labels, coverage=1.0)
    with pytest.raises(ValueError, match="at least 2 labels to choose from, got 1"):
        LabelPipeline(index, labels=LabelSet([Label("a")]))
    with pytest.raises(ValueError, match=r"exactly one label.*is not exclusive.*use FindingsPipeline"):
        LabelPipeline(index, labels=LabelSet([Label("effusion"), Label("nodule")], exclusive=False))


def test_same_seed_same_pipeline(index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]) -> None:
    one, other, third = (
        LabelPipeline(index, labels=labels, seed=seed, use=["text", "guidelines"]).fit(notes[:120])
        for seed in (0, 0, 1)
    )
    assert one(NOTE) == other(NOTE)
    assert one.manifest["weights"] != third.manifest["weights"]


def test_any_subset_of_scorers_works(index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]) -> None:
    for use in (["neighbours"], ["guidelines", "text"], ["characters"]):
        pipeline = LabelPipeline(index, None, labels=labels, use=use).fit(notes[:80])
        assert set(pipeline.manifest["weights"]) == set(use)
        assert pipeline(NOTE).set
    with pytest.raises(ValueError, match="without retrieval nothing is left"):
        LabelPipeline(index, None, labels=labels, use=["neighbours"]).fit(notes[:80]).without_retrieval()(NOTE)
    with pytest.raises(ValueError, match="before fit nothing can score"):
        LabelPipeline(index, None, labels=labels, use=["text"])(NOTE)
    for odd in (["words"], [], "text"):
        with pytest.raises(ValueError, match="use must list some of text, characters"):
            LabelPipeline(index, None, labels=labels, use=odd)
    with pytest.raises(ValueError, match="use names 'rules', but none were given"):
        LabelPipeline(index, None, labels=labels, use=["rules"])


def test_rules_take_part_before_and_after_fit_and_are_kept(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote], tmp_path: Path
) -> None:
    rules = {"mr-knee": ["blue moon"]}
    plain, ruled = (LabelPipeline(index, None, labels=labels, rules=given) for given in (None, rules))
    assert plain("blue moon").label != "mr-knee"
    assert ruled("blue moon").label == "mr-knee"
    # In every note of one label stands a word that only the rule knows to mean it.
    marked = [replace(note, text=f"{note.text} code{n} {note.label}!") for n, note in enumerate(notes[:200])]
    patterns = {label.id: [f" {label.id}!$"] for label in labels}
    fitted = LabelPipeline(index, None, labels=labels, rules=patterns, use=["rules", "guidelines"]).fit(marked)
    assert fitted.manifest["weights"]["rules"] > 1
    fitted.save(tmp_path / "p")
    again = LabelPipeline.load(tmp_path / "p", index)
    assert again.manifest == fitted.manifest
    assert again("what it is: mr-knee!") == fitted("what it is: mr-knee!")

    def function(note: str) -> str | None:
        return "mr-knee" if "moon" in note else None

    LabelPipeline(index, None, labels=labels, rules=function, use=["rules", "guidelines"]).fit(marked).save(
        tmp_path / "f"
    )
    with pytest.raises(ModelError, match="pass rules="):
        LabelPipeline.load(tmp_path / "f", index)
    assert LabelPipeline.load(tmp_path / "f", index, rules=function)("the moon").probability > 0


def test_at_a_risk_it_withholds_labels_and_shows_them_all_the_same(
    fitted: LabelPipeline, index: HybridIndex, labels: LabelSet, notes: list[LabelledNote], tmp_path: Path
) -> None:
    cautious = fitted.at_risk(0.2)
    texts = [note.text for note in notes[500:580]]
    plain, results = fitted.batch(texts), cautious.batch(texts)
    assert [result.ranking for result in results] == [result.ranking for result in plain]
    withheld = np.asarray([result.abstained for result in results])
    assert 0 < withheld.sum() < len(withheld)
    sure = np.asarray([result.probability for result in results])
    assert sure[withheld].max() < sure[~withheld].min()
    wrong = np.asarray([result.label != note.label for result, note in zip(results, notes[500:580], strict=True)])
    assert wrong[~withheld].mean() <= 0.2
    assert not any(result.abstained for result in plain)
    assert str(results[int(withheld.argmax())]).startswith("abstained; most likely ")
    cautious.save(tmp_path / "p")
    assert [result.abstained for result in LabelPipeline.load(tmp_path / "p", index).batch(texts)] == withheld.tolist()
    nothing = fitted.at_risk(0.001)(NOTE)
    assert nothing.abstained
    assert any("no threshold keeps the risk at 0.001" in warning for warning in nothing.warnings)
    with pytest.raises(ValueError, match="risk must lie between 0 and 1, got 5"):
        fitted.at_risk(5)
    with pytest.raises(ValueError, match="only be kept after fit"):
        LabelPipeline(index, None, labels=labels).at_risk(0.1)


def test_drift_is_told_and_warned_of(
    fitted: LabelPipeline, index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    known = {note.group for note in notes[:500]}
    same = [note.text for note in notes[500:] if note.group not in known]
    other = [" ".join(sorted(text[::-1].split())) for text in same]
    assert not fitted.drift(same).drifted
    found = fitted.drift(other)
    assert found.drifted
    assert found.n == len(same) >= 60
    for texts, warned in ((same, False), (other, True), (other[:20], False)):
        results = fitted.batch(texts)
        assert [any(w.startswith("drift: ") for w in result.warnings) for result in results] == [warned] * len(texts)
    with pytest.raises(ValueError, match="nothing to compare notes with before fit"):
        LabelPipeline(index, None, labels=labels).drift(same)


def test_sets_by_label_say_where_all_labels_had_to_serve(
    index: HybridIndex, labels: LabelSet, notes: list[LabelledNote]
) -> None:
    pipeline = LabelPipeline(index, None, labels=labels, sets="per-label", coverage=0.99, use=["text"]).fit(notes[:300])
    assert any("too few calibration notes of" in warning for warning in pipeline(NOTE).warnings)
    assert pipeline(NOTE).set
    with pytest.raises(ValueError, match="sets must be 'marginal' or 'per-label', got 'all'"):
        LabelPipeline(index, None, labels=labels, sets="all")  # type: ignore[arg-type]


def test_of_large_sets_only_candidates_are_ranked(index: HybridIndex, labels: LabelSet) -> None:
    sites = [f"{a}{b}{c}ia" for a in "bdfglmnprs" for b in "aeiou" for c in ("ct", "lm", "nd", "rt", "st", "x", "z")]
    many = LabelSet(
        [Label(f"{kind}-{site}", f"{kind} of the {site}") for site in sites for kind in ("ct", "mr", "us")]
        + [Label("mr-knee", "MR of the knee", "menisci and cruciate ligaments")]
    )
    assert len(many) > 1000
    pipeline = LabelPipeline(index, None, labels=many)
    result = pipeline("knee, torn cruciate ligaments?")
    assert result.label == "mr-knee"
    assert 1 < len(result.ranking) <= 50
    assert "of 1,051 labels only the candidates found for the note are ranked" in result.warnings
    assert {span.text for span in result.evidence} == {"knee", "cruciate ligaments"}
    # A note of its own words: only examples tell, and they add to the candidates.
    examples = [
        LabelledNote(f"{word} {n}x", label)
        for n in range(5)
        for word, label in (("zonk", "ct-bactia"), ("plim", "us-dalmia"))
    ]
    examples += [LabelledNote(f"{many[id].name} please case{n}", id) for n, id in enumerate(many.ids[::40])]
    fitted = pipeline.fit(examples)
    found = fitted("zonk")
    assert found.label == "ct-bactia"
    assert set(found.set) <= {id for id, _ in found.ranking}
    assert len(found.ranking) < 200
