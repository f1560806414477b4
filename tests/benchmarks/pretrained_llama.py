"""A pretrained, instruction-tuned Llama of your own: what it answers, with retrieval and without, on public questions.

No such model ships and none is fetched: name a folder. Parts, all by default:

answers: The shipped questions, in free text, each claim judged by the shipped verifier. A verifier's "supported" is no
    proof: ``--show 30`` prints answers to be read by a person.
yesno: BioASQ 7b-9b (development), the likelier of "yes" and "no" as the whole reply: from the question alone, from five
    passages retrieved from the development pool (34,078 documents, many of them gold snippets), from gold snippets.
ragas: The model as the judge of its own answers: is it to be believed, and how do its replies fail?
labels: The hand-written protocol notes of the test split, without any tuning.

python tests/benchmarks/pretrained_llama.py --model FOLDER [--part NAME ...] [--n N] [--dtype NAME]
    [--device NAME] [--quantize nf4] [--index FOLDER] [--show N] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, records, report
from numpy.typing import NDArray

import radrag as rr
from radrag.errors import PromptError
from radrag.generation.prompts import verdict_chat
from radrag.metrics import auroc, bootstrap, bootstrap_statistic, mcnemar, paired_bootstrap
from radrag.metrics.slices import wilson
from radrag.types import Chat, Document, Generation, Hit, Passage

K = 5
_REPLY = 192  # tokens
_VERDICTS = ("supported", "partly", "contradicted", "unsupported")
_WORDS = ("yes", "no")


class Metered:
    """A generator that counts what it reads and writes, and the seconds that takes."""

    def __init__(self, inner: rr.LlamaGenerator) -> None:
        self.inner, self.local = inner, True
        self.clear()

    def clear(self) -> None:
        """Begin to count anew."""
        self.read = self.written = self.replies = self.cut_off = 0
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def generate(self, chats: Sequence[Chat], params: rr.GenerationParams | None = None) -> list[Generation]:
        """Write as the model does."""
        start = time.perf_counter()
        made = self.inner.generate(chats, params)
        self.seconds += time.perf_counter() - start
        self.replies += len(made)
        self.read += sum(one.prompt_tokens or 0 for one in made)
        self.written += sum(one.new_tokens or 0 for one in made)
        self.cut_off += sum(not one.finished for one in made)
        return made

    def row(self, name: str) -> list[Any]:
        """Return the figures of one reply."""
        each = max(1, self.replies)
        return [name, self.replies, self.seconds / each, self.read / each, self.written / each, self.cut_off]


class Kept:
    """Answers that were made already, as a pipeline."""

    def __init__(self, answers: Sequence[rr.Answer]) -> None:
        self._answers = list(answers)

    def batch(self, _: Sequence[str]) -> list[rr.Answer]:
        """Return them."""
        return self._answers


def main() -> None:
    """Print the tables of the parts asked for."""
    parts: dict[str, Callable[[Metered, argparse.Namespace], None]] = {
        "answers": _answers, "yesno": _yes_no, "ragas": _ragas, "labels": _labels,
    }  # fmt: skip
    args = _arguments(list(parts))
    llama = rr.LlamaGenerator(
        args.model, device=args.device, dtype=args.dtype, quantize=args.quantize, batch_size=args.batch_size,
        context=args.context, local_files_only=True,
    )  # fmt: skip
    model = Metered(llama)
    _facts(llama, args)
    for name in args.part or parts:
        parts[name](model, args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report("Peak memory of the process, GiB", ["GiB"], [[peak]], args)


def _arguments(parts: list[str]) -> argparse.Namespace:
    parser = arguments(__doc__ or "")
    parser.add_argument("--model", required=True, help="folder of an instruction-tuned model, or small-llama")
    parser.add_argument("--part", action="append", choices=parts, help="only this part; may be given again")
    parser.add_argument("--n", type=int, help="items of each part, a seeded sample; all by default, 8 if --quick")
    parser.add_argument("--dtype", help="such as bfloat16, much faster on a CPU with AMX")
    parser.add_argument("--device")
    parser.add_argument("--quantize", choices=["nf4"])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--context", type=int, help="most tokens of prompt and reply; the model's own limit by default")
    parser.add_argument("--index", type=Path, help="keep the index of the pool here, and use it if it is there")
    parser.add_argument("--show", type=int, default=0, help="answers to print, to be read by a person")
    args = parser.parse_args()
    if args.n is not None and args.n < 2:
        parser.error(f"--n must be at least 2, for an interval, got {args.n}")
    return args


def _facts(llama: rr.LlamaGenerator, args: argparse.Namespace) -> None:
    model = llama.model
    facts = {
        "parameters": sum(one.numel() for one in model.parameters()), "dtype": str(model.dtype),
        "device": str(model.device), "quantize": llama.quantize or "none", "context": llama.context,
        "fingerprint": llama.fingerprint,
    }  # fmt: skip
    report("The model", ["what", "is"], [[name, str(value)] for name, value in facts.items()], args)


def _sample(items: Sequence[Any], args: argparse.Namespace) -> list[Any]:
    size = args.n or (8 if args.quick else len(items))
    chosen = np.random.default_rng(0).permutation(len(items))[:size]
    return [items[row] for row in sorted(chosen)]


def _answers(model: Metered, args: argparse.Namespace) -> None:
    questions = _sample(rr.load_questions(), args)
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols() + rr.load_evidence())
        qa = rr.QAPipeline(index, model, k=K, params=rr.GenerationParams(max_new_tokens=_REPLY))
        sides, costs = {}, []
        for name, side in (("RAG", qa), ("no RAG", qa.without_retrieval())):
            model.clear()
            sides[name] = side.batch([question.text for question in questions])
            costs.append(model.row(name))
    where = f"{len(questions)} shipped questions"
    columns = ["", "replies", "seconds", "tokens read", "tokens written", "cut off"]
    report(f"Cost of a reply: {where}", columns, costs, args)
    made = rr.compare(Kept(sides["RAG"]), Kept(sides["no RAG"]), questions, slices=None)
    rows = [
        [row.metric, row.system, row.baseline, row.difference, "" if row.test is None else f"{row.test.p_value:.2g}"]
        for row in made.rows
    ]
    report(f"RAG against none: {where}", ["", "RAG", "no RAG", "difference", "p (McNemar)"], rows, args)
    _claims(sides["RAG"], where, args)
    for answer in sides["RAG"][: args.show]:
        print(*_shown(answer), sep="\n")


def _claims(answers: Sequence[rr.Answer], where: str, args: argparse.Namespace) -> None:
    """Report the verdicts of all claims, and of those given: an answer without a supported claim is withheld."""
    rows: list[list[Any]] = []
    for what, kept in (("written", answers), ("given", [one for one in answers if not one.abstained])):
        made = [(place, claim.verdict) for place, one in enumerate(kept) for claim in one.claims]
        groups = [place for place, _ in made]
        names = [*_VERDICTS, *sorted({verdict for _, verdict in made} - {*_VERDICTS})]
        for name in names:
            hits = np.asarray([float(verdict == name) for _, verdict in made])
            share = bootstrap(hits, groups=groups, seed=0) if len(set(groups)) > 1 else "fewer than 2 answers"
            rows.append([f"claims {what}: {name or 'not judged'}", int(hits.sum()), share])
    reasons = Counter(one.reason for one in answers if one.abstained)
    rows += [[f"answers withheld: {why}", count, wilson(count, len(answers))] for why, count in reasons.most_common()]
    unread = Counter(one.unread for one in answers if one.unread)
    rows += [[f"form not read: {why}", count, wilson(count, len(answers))] for why, count in unread.most_common()]
    unknown = sum(bool(one.unknown_citations) for one in answers)
    rows.append(["answers with citations of no passage, refused", unknown, wilson(unknown, len(answers))])
    report(f"Claims and withheld answers, RAG: {where}", ["", "count", "share"], rows, args)


def _shown(answer: rr.Answer) -> Iterator[str]:
    verdict = "" if answer.verdict is None else f" {answer.verdict.answer.upper()}"
    yield f"\nQ: {answer.question}\n  {f'withheld: {answer.reason}' if answer.abstained else 'answered'}{verdict}"
    for claim in answer.claims:
        yield f"  [{claim.verdict or 'not judged'}] {claim.text}"
        yield from (f"      {one.document_id}: {' '.join(one.quote.split())}" for one in claim.citations)
    if answer.unknown_citations:
        yield f"  cited without there being such a passage: {', '.join(answer.unknown_citations)}"


def _yes_no(model: Metered, args: argparse.Namespace) -> None:
    asked = _sample([one for one in records("bioasq_7b_9b.jsonl.gz") if one["type"] == "yesno"], args)
    true = np.asarray([float(one["exact_answer"].lower() == "yes") for one in asked])
    texts = [one["question"] for one in asked]
    with ExitStack() as stack:
        kept = args.index or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        index = stack.enter_context(_pool(kept / "pool", args.quick))
        found, size = index.search(texts, k=K), len(index)
    gold = [_snippets(one) for one in asked]
    none: list[None] = [None] * len(asked)
    seconds, chances, lost = {}, {}, {}
    for name, hits in (("question alone", none), ("retrieved", found), ("gold snippets", gold)):
        start = time.perf_counter()
        chats, lost[name] = _fitting(model, texts, hits)
        logs = model.score(chats, list(_WORDS))
        chances[name] = 1 / (1 + np.exp(logs[:, 1] - logs[:, 0]))
        seconds[name] = (time.perf_counter() - start) / len(asked)
    right = {name: ((chance > 0.5) == (true > 0.5)).astype(float) for name, chance in chances.items()}
    right["always yes"] = true
    rows = []
    for name, one in right.items():
        says = float((chances[name] > 0.5).mean()) if name in chances else ""
        area = _area(true, chances.get(name))
        rows.append([name, bootstrap(one, seed=0), area, says, lost.get(name, ""), seconds.get(name, "")])
    where = f"{len(asked)} of BioASQ 7b-9b (development), top {K} of {size} passages"
    columns = ["from", "accuracy", "AUROC of P(yes)", "says yes", "passages that did not fit", "seconds each"]
    report(f"Yes or no by likelihood: {where}", columns, rows, args)
    pairs = [(a, b) for a in ("retrieved", "gold snippets") for b in ("question alone", "always yes")]
    differences = [
        [f"{a} - {b}", paired_bootstrap(right[a], right[b], seed=0), mcnemar(right[a], right[b]).p_value]
        for a, b in pairs
    ]
    report(f"Differences, paired: {where}", ["", "difference", "p (McNemar)"], differences, args)


def _area(true: NDArray[np.float64], chance: NDArray[np.float64] | None) -> Any:
    if chance is None or len(set(true)) < 2:
        return ""
    return bootstrap_statistic((true.astype(int), chance), auroc, seed=0)


def _fitting(model: Metered, texts: Sequence[str], found: Sequence[Any]) -> tuple[list[Chat], int]:
    """Return a prompt a question, the weakest passages left out where it would not fit, and how many were."""
    chats, lost = [], 0
    for text, hits in zip(texts, found, strict=True):
        shown = None if hits is None else list(hits)
        room = max(len(model.reply_tokens(word)) for word in _WORDS)
        while shown and not model.fits(verdict_chat(text, shown), room):
            shown, lost = shown[:-1], lost + 1
        chats.append(verdict_chat(text, shown))
    return chats, lost


def _snippets(record: dict[str, Any]) -> list[Hit]:
    """Return the gold snippets, by document and place: their order in the file carries information on the answer."""
    texts = sorted({(str(one.get("pmid", "")), str(one["text"])) for one in record["snippets"]})
    return [Hit(Passage(f"PMID:{pmid}", 0, len(text), text), 1.0) for pmid, text in texts][:K]


def _pool(path: Path, quick: bool) -> rr.HybridIndex:
    if path.is_dir():
        return rr.HybridIndex.open(path)
    index = rr.HybridIndex.create(path)
    index.add(
        Document(f"PMID:{one['pmid']}", one["text"], one["title"], one["kind"])
        for number, one in enumerate(records("abstracts_pool.jsonl.gz"))
        if not quick or number < 3000
    )
    return index


def _ragas(model: Metered, args: argparse.Namespace) -> None:
    questions = _sample([one for one in rr.load_questions() if one.answerable], args)
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols() + rr.load_evidence())
        qa = rr.QAPipeline(index, model, k=K, params=rr.GenerationParams(max_new_tokens=_REPLY))
        start = time.perf_counter()
        made = rr.evaluate_ragas(qa, questions, judge=model, timeout=600, retries=1, reply_tokens=1024)
        seconds = time.perf_counter() - start
    where = f"{len(questions)} answerable shipped questions"
    rows = [
        [row.metric, row.value if row.estimate is None else row.estimate, f"{row.n} of {row.asked}",
         _counts(row.failures), _counts(row.left_out), row.note]
        for row in made.rows
    ]  # fmt: skip
    report(f"RAGAS, judged by itself: {where}", ["", "mean", "scored", "failed", "left out", "note"], rows, args)
    assert made.usage is not None
    facts = [
        ["judge check", str(made.check)], ["requests", str(made.usage.requests)], ["tokens", str(made.usage.tokens)],
        ["seconds", f"{seconds:.0f}"],
    ]  # fmt: skip
    report(f"The judge: {where}", ["what", "is"], facts, args)


def _counts(counts: Any) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _labels(model: Metered, args: argparse.Namespace) -> None:
    notes = _sample(rr.load_notes("test"), args)
    labels = rr.LabelSet.from_protocols(rr.load_protocols())
    texts, right, rows = [note.text for note in notes], {}, []
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols())
        pipeline = rr.LabelPipeline(index, model, labels=labels)  # type: ignore[arg-type]
        for name, one in (
            ("guidelines alone", rr.LabelPipeline(index, None, labels=labels)),
            ("the model, guidelines retrieved", pipeline),
            ("the model alone", pipeline.without_retrieval()),
        ):
            start = time.perf_counter()
            try:
                said = [result.label for result in one.batch(texts)]
            except PromptError as error:
                rows.append([name, f"not run: {error}", ""])
                continue
            seconds = (time.perf_counter() - start) / len(notes)
            hits = [float(label in {note.label, *note.also}) for label, note in zip(said, notes, strict=True)]
            right[name] = np.asarray(hits)
            rows.append([name, bootstrap(right[name], seed=0), seconds])
    where = f"{len(notes)} hand-written test notes, {len(labels)} labels, nothing tuned"
    report(f"Labels: {where}", ["by", "accuracy", "seconds each"], rows, args)
    names = list(right)
    pairs = [(a, b) for place, a in enumerate(names) for b in names[:place]]
    differences = [[f"{a} - {b}", paired_bootstrap(right[a], right[b], seed=0)] for a, b in pairs]
    if differences:
        report(f"Differences, paired: {where}", ["", "difference"], differences, args)


if __name__ == "__main__":
    main()
