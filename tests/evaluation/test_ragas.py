"""ragas over made-up answers, with figures worked out by hand or by the libraries behind the metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from radrag.corpora.chunking import Chunking
from radrag.evaluation.judge import JudgeFailure
from radrag.evaluation.judge_check import CASES, check_judge
from radrag.evaluation.ragas import JUDGED, MODEL_FREE, ragas_dataset
from radrag.evaluation.ragas_report import NOT_BELIEVED, NOT_CHECKED
from radrag.evaluation.ragas_runs import evaluate_ragas
from radrag.generation.scripted import ScriptedGenerator
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Answer, Chat, Claim, Document, GoldSpan, Hit, Passage, Question, Verdict

# Not importorskip for ragas: that would hide the warnings of its import, which is ours to keep quiet.
if find_spec("ragas") is None:
    pytest.skip("needs the ragas extra", allow_module_level=True)
rapidfuzz = pytest.importorskip("rapidfuzz")
sacrebleu = pytest.importorskip("sacrebleu")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")

INPUT = "Now perform the same with the following input\ninput: "
SALT = "Salt raises blood pressure. Salt is a mineral"
PEPPER = "Pepper grows on vines. Cats cure gout"


def question(number: int = 1, answer: str = "Salt raises blood pressure. Salt lowers mood", **kwargs: Any) -> Question:
    kwargs.setdefault("gold", (GoldSpan("salt", 0, 26, "Salt raises blood pressure"),))
    return Question(f"q{number}", f"Is salt bad, number {number}?", "yesno", "yes", answer, **kwargs)


def answer(number: int = 1, *claims: str, abstained: bool = False, texts: tuple[str, ...] = (SALT, PEPPER)) -> Answer:
    made = tuple(Claim(text, (), True, 1.0) for text in claims or ("Salt raises blood pressure.", "Cats cure gout."))
    names = {SALT: "salt", PEPPER: "pepper"}
    hits = tuple(Hit(Passage(names.get(text, "other"), 0, len(text), text), 1.0) for text in texts)
    manifest = {"reader": "fake", "question_sha256": "x"}
    return Answer(f"Is salt bad, number {number}?", made, None, abstained, evidence=hits, manifest=manifest)


def sentences(text: str) -> list[str]:
    return [part.strip(" .") for part in text.split(". ") if part.strip(" .")]


def oracle(chat: Chat) -> str:
    """Judge as a careful reader would: a statement holds if the context has its words."""
    prompt = chat[-1].content
    given = json.loads(prompt.rpartition(INPUT)[2].rpartition("Output:")[0])

    def holds(statement: str, context: str) -> int:
        return int(statement.strip(" .").lower() in context.lower() or statement in KNOWN_GOOD)

    if "statements" in given:
        verdicts = [
            {"statement": one, "reason": "read", "verdict": holds(one, given["context"])} for one in given["statements"]
        ]
        return json.dumps({"statements": verdicts})
    if "context" in given and '"classifications"' in prompt:
        made = [
            {"statement": one, "reason": "read", "attributed": holds(one, given["context"])}
            for one in sentences(given["answer"])
        ]
        return json.dumps({"classifications": made})
    if "context" in given:
        useful = any(holds(one, given["context"]) for one in sentences(given["answer"]))
        return json.dumps({"reason": "read", "verdict": int(useful)})
    if "atomicity" in given:
        return json.dumps({"claims": sentences(given["response"])})
    if "response" in given:
        return "```json\n" + json.dumps({"question": "Is salt bad, number 1?", "noncommittal": 0}) + "\n```"
    return json.dumps({"statements": sentences(given.get("answer", given.get("text", "")))})


KNOWN_GOOD = {pair[0] for pair in CASES.values()}


def test_judged_metrics_are_those_worked_out_by_hand() -> None:
    judge = ScriptedGenerator(oracle)
    report = evaluate_ragas([answer()], [question()], judge, metrics=JUDGED)
    wanted = {
        "faithfulness": 1.0,  # both claims stand in a passage
        "answer_relevancy": 1.0,  # the question that the judge makes of the answer is the one asked
        "context_precision": 1.0,  # useful, not useful: precision at 1
        "context_recall": 0.5,  # of the two reference sentences one is in the passages
        "factual_correctness": 0.5,  # tp 1 (salt), fp 1 (cats), fn 1 (mood): 2 / (2 + 1 + 1)
        "noise_sensitivity": 0.0,  # "Cats cure gout" is wrong, but comes from the passage without the reference
    }
    assert {row.metric: row.value for row in report.rows} == pytest.approx(wanted, abs=1e-6)
    assert report.failures == {}
    assert report.believed
    assert report.check is not None
    assert (report.check.accuracy.value, report.check.accuracy.n) == (1.0, 30)
    assert report["faithfulness"].note == ""
    assert all(row.estimate is None for row in report.rows)  # a single item bounds nothing


def test_wrong_claims_lower_what_they_should() -> None:
    made = answer(1, "Salt raises blood pressure.", "Dogs cure gout.", "Salt is dear.", texts=(PEPPER, SALT))
    report = evaluate_ragas([made], [question()], ScriptedGenerator(oracle), metrics=JUDGED, check=False)
    assert report["faithfulness"].value == pytest.approx(1 / 3)
    assert report["context_precision"].value == pytest.approx(0.5)  # the useful passage comes second
    assert report["factual_correctness"].value == pytest.approx(0.4)  # tp 1, fp 2, fn 1
    # Of the three claims, one is wrong and stands in the passage that holds the reference.
    noisy = answer(1, "Salt is a mineral.", "Salt raises blood pressure.", "Dogs cure gout.")
    report = evaluate_ragas(
        [noisy], [question()], ScriptedGenerator(oracle), metrics=["noise_sensitivity"], check=False
    )
    assert report["noise_sensitivity"].value == pytest.approx(1 / 3)
    assert report["noise_sensitivity"].note == NOT_CHECKED
    assert "(lower is better)" in report.to_markdown()


def test_model_free_metrics_are_those_of_the_libraries_behind_them() -> None:
    asked, made = question(), answer()
    report = evaluate_ragas(
        [made], [asked], reference_contexts={"q1": [SALT, "Nothing like any passage whatever 12345"]}
    )
    said = "Salt raises blood pressure. Cats cure gout."
    wanted = {
        "non_llm_context_precision_with_reference": 1.0,
        "non_llm_context_recall": 0.5,
        "id_based_context_precision": 0.5,
        "id_based_context_recall": 1.0,
        "non_llm_string_similarity": rapidfuzz.distance.Levenshtein.normalized_similarity(asked.answer, said),
        "bleu_score": sacrebleu.corpus_bleu([said], [[asked.answer]]).score / 100,
        "rouge_score": rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
        .score(asked.answer, said)["rougeL"]
        .fmeasure,
        "exact_match": 0.0,
    }
    found = {row.metric: row.value for row in report.rows}
    similar = found.pop("semantic_similarity")
    assert tuple(wanted) == MODEL_FREE[:-1]
    assert found == pytest.approx(wanted, abs=1e-8)
    assert similar is not None
    assert 0 < similar < 1
    assert (report.check, report.usage, report.believed) == (None, None, None)


def test_bleu_reads_all_sentences() -> None:
    """That of ragas gives 1 to any text that begins with the reference's first sentence."""
    reference = "Salt raises blood pressure a little. Pepper does nothing of that kind"
    said = "Salt raises blood pressure a little. Cats cure gout within two days"
    report = evaluate_ragas([answer(1, said)], [question(answer=reference)], metrics=["bleu_score"])
    wanted = sacrebleu.corpus_bleu([said], [[reference]]).score / 100
    assert report["bleu_score"].value == pytest.approx(wanted, abs=1e-8)
    assert wanted < 0.6


def test_abstentions_and_unanswerable_questions_are_apart() -> None:
    questions = [
        question(1),
        question(2),
        question(3, answerable=False, gold=()),
        question(4, answerable=False, gold=()),
    ]
    answers = [answer(1), answer(2, abstained=True), answer(3), answer(4, abstained=True)]
    report = evaluate_ragas(answers, questions, reference_contexts={"q1": [SALT], "q2": [SALT]})
    counts = {"answered": 1, "abstained": 1, "unanswerable but answered": 1, "unanswerable and abstained": 1}
    assert report.apart == counts
    assert [item.apart for item in report.items] == ["", *list(counts)[1:]]
    assert report["rouge_score"].left_out == {"abstained": 1, "unanswerable": 2}
    assert (report["rouge_score"].n, report["rouge_score"].asked) == (1, 1)
    assert report["id_based_context_recall"].left_out == {"unanswerable": 2}  # what was retrieved can be judged
    assert report["id_based_context_recall"].n == 2
    assert report.items[2].scores == {}


def test_what_is_missing_is_named() -> None:
    questions = [question(1, answer=""), question(2, gold=())]
    report = evaluate_ragas([answer(1), answer(2, texts=())], questions)
    assert report["exact_match"].left_out == {"no gold answer": 1}
    assert report["id_based_context_recall"].left_out == {"no passages retrieved": 1}
    assert report["non_llm_context_recall"].left_out == {"no gold passages known": 1, "no passages retrieved": 1}
    assert (report["non_llm_context_recall"].value, report["non_llm_context_recall"].shown) == (None, "-")


def test_gold_passages_are_cut_as_the_index_cuts(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "index", chunking=Chunking(max_words=5, overlap=0)) as index:
        index.add([Document("salt", SALT + ".")])
        passages = {hit.passage.text for hit in index.search("salt", 5)}
        assert passages == {"Salt raises blood pressure.", "Salt is a mineral."}
        samples = ragas_dataset([answer()], [question()], index=index).samples
        assert samples[0].reference_contexts == ["Salt raises blood pressure."]
        lost = question(gold=(GoldSpan("gone", 0, 4, "salt"),))
        assert ragas_dataset([answer()], [lost], index=index).samples[0].reference_contexts == ["salt"]


def test_a_sample_holds_the_answer_without_marks_after_its_verdict() -> None:
    made = Answer(question().text, (Claim("Salt is bad.", (), True, 1.0),), Verdict("yes", {}))
    sample = ragas_dataset([made], [question()]).samples[0]
    assert sample.response == "Yes. Salt is bad."
    assert sample.retrieved_contexts is None
    assert ragas_dataset([answer(abstained=True)], [question()]).samples[0].response is None


def test_repeats_are_averaged_and_their_spread_is_shown() -> None:
    turn = iter([1, 0, 1, 1])  # item 1: 1 and 0; item 2: 1 and 1

    def judge(chat: Chat) -> str:
        return json.dumps({"reason": "", "verdict": next(turn)})

    made = [answer(1, texts=(SALT,)), answer(2, texts=(SALT,))]
    questions = [question(1, gold=()), question(2, gold=())]
    report = evaluate_ragas(
        made, questions, ScriptedGenerator(judge), metrics="context_precision", repeats=2, check=False
    )  # fmt: skip
    row = report["context_precision"]
    assert row.value == pytest.approx(0.75)
    assert row.repeats == pytest.approx((1.0, 0.5))
    assert row.spread == pytest.approx(0.5**0.5 / 2)  # of 1 and 0.5
    assert row.item_spread == pytest.approx(0.5**0.5 / 2)  # of 1, 0 and 1, 1
    assert row.estimate is not None
    assert (row.estimate.value, row.estimate.n) == (0.75, 2)
    assert [item.scores["context_precision"] for item in report.items] == [(1.0, 0.0), (1.0, 1.0)]


def test_a_judge_that_always_agrees_is_not_believed() -> None:
    def yes(chat: Chat) -> str:
        given = json.loads(chat[-1].content.rpartition(INPUT)[2].rpartition("Output:")[0])
        if "statements" in given:
            verdicts = [{"statement": one, "reason": "", "verdict": 1} for one in given["statements"]]
            return json.dumps({"statements": verdicts})
        return oracle(chat)

    report = evaluate_ragas([answer()], [question()], ScriptedGenerator(yes), metrics=["faithfulness", "rouge_score"])
    assert report.check is not None
    assert report.check.kappa is not None
    assert (report.check.accuracy.value, report.check.kappa.value) == (0.5, 0.0)
    assert not report.believed
    assert report["faithfulness"].note == NOT_BELIEVED
    assert report["rouge_score"].note == ""  # no judge was asked for it
    assert "not to be believed" in str(report)


def test_the_judge_check_counts_failures_as_disagreement() -> None:
    def supports(context: str, statement: str) -> bool:
        if statement not in KNOWN_GOOD:
            raise JudgeFailure("timeout", "late")
        return True

    check = check_judge(supports)
    assert (check.accuracy.value, check.failures, check.passed) == (0.5, {"timeout": 15}, False)
    assert check.kappa is not None
    assert check.kappa.value == pytest.approx(1 / 3)  # agreement 1/2, 1/4 by chance


@pytest.mark.parametrize(("wrong", "passed"), [(6, True), (7, False)])
def test_the_judge_check_has_a_bar(wrong: int, passed: bool) -> None:
    """Of 30 statements, half of them true, w wrong verdicts on false ones give a kappa of 1 - w / 15."""
    lenient = {pair[1] for pair in list(CASES.values())[:wrong]}
    check = check_judge(lambda context, statement: statement in KNOWN_GOOD or statement in lenient)
    assert check.kappa is not None
    assert check.kappa.value == pytest.approx(1 - wrong / 15)
    assert check.accuracy.low > 0.5
    assert check.passed is passed


def test_reports_are_plain_and_hold_no_words() -> None:
    questions = [question(1), question(2)]
    report = evaluate_ragas([answer(1), answer(2)], questions, reference_contexts={"q1": [SALT]})
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert "Salt" not in text
    assert report.to_markdown().count("\n| ") == len(MODEL_FREE) + 1
    table = report.to_table()
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert evaluate_ragas([answer(1), answer(2)], questions, reference_contexts={"q1": [SALT]}) == report
    with pytest.raises(KeyError, match="no metric 'speed'"):
        report["speed"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ["speed"]}, "no metric 'speed'"),
        ({"metrics": ["faithfulness"]}, "'faithfulness' needs a judge"),
        ({"repeats": 0}, "repeats and workers must be at least 1"),
        ({"questions": [question(2)]}, "'q2' is to 'Is salt bad, number 1"),
        ({"questions": []}, "equally many"),
        ({"judge": ScriptedGenerator([]), "workers": 2}, "one request at a time"),
        ({"judge": ScriptedGenerator([]), "timeout": 0.0}, "timeout and max_tokens must be above 0"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_ragas(**{"answers": [answer()], "questions": [question()], **change})


def test_nothing_is_sent_and_nothing_is_noted(tmp_path: Path) -> None:
    """A fresh process without the variable that turns telemetry off: no connection, and no id of the user on disk."""
    code = """
        import os, pathlib, socket, sys
        def refuse(*_): raise SystemExit("a connection was tried")
        socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
        from radrag.evaluation.ragas_runs import evaluate_ragas
        from radrag.types import Answer, Claim, Question, Hit, Passage, GoldSpan
        hit = Hit(Passage("d", 0, 4, "salt"), 1.0)
        made = Answer("Why?", (Claim("Salt.", (), True, 1.0),), evidence=(hit,))
        gold = (GoldSpan("d", 0, 4, "salt"),)
        asked = [Question("q", "Why?", answer="Salt.", gold=gold)]
        report = evaluate_ragas([made], asked, reference_contexts={"q": ["salt"]})
        from ragas._analytics import _analytics_batcher, do_not_track
        assert do_not_track() and not _analytics_batcher.buffer
        assert report["exact_match"].value == 1.0 and report["non_llm_context_recall"].value == 1.0
        print("done")
    """
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    del environment["RAGAS_DO_NOT_TRACK"]
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=120)
    assert done.stdout.strip() == "done", done.stderr
    assert not (tmp_path / "data" / "ragas").exists()


@pytest.mark.slow
def test_the_example_writes_its_report(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "ragas_report.py"
    command = [sys.executable, str(example), "--questions", "4"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "ragas_report.json").read_text("utf-8"))["items"]) == 4
    assert "| id_based_context_recall | " in (tmp_path / "ragas_report.md").read_text("utf-8")
