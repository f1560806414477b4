"""Training records: labelled notes, questions with passages, reports and instructions as chats with their reply.

The prompts are those of inference (``radrag.generation.prompts``), so that a model is tuned on what it will be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from radrag.corpora import split_sentences
from radrag.generation import prompts
from radrag.generation.prompts import neutralise, neutralise_tokens
from radrag.types import VERDICTS, Chat, Hit, Label, LabelledNote, LabelledReport, Passage

_KEYS = {"patient": "patient:", "note": "note:", "source": "source:"}


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A prompt and the reply that a model is to learn.

    Attributes:
        prompt: Turns up to and including the last one, which is the user's.
        completion: The reply, without special tokens.
        id: Name of the record, "" if it has none.
        groups: Keys such as ``"patient:17"``, ``"note:n3"`` or ``"source:PMID:1"``; records that share one never sit on
            both sides of a split.
        label: What statistics count: a label's id, yes, no or maybe, ``"abstain"``, or "".

    Raises:
        ValueError: If the prompt does not end in the user's turn, or the completion is blank.
    """

    prompt: Chat
    completion: str
    id: str = ""
    groups: tuple[str, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if not self.prompt or self.prompt[-1].role != "user":
            roles = ", ".join(turn.role for turn in self.prompt) or "no turn"
            raise ValueError(f"record {self.id!r}: the prompt must end in a user's turn, got {roles}")
        if not self.completion.strip():
            raise ValueError(f"record {self.id!r}: the completion is blank; write it or leave the record out")


def label_records(
    notes: Iterable[LabelledNote],
    labels: Sequence[Label] | None = None,
    *,
    examples: Callable[[LabelledNote], Sequence[tuple[str, str]]] | None = None,
    guideline: Callable[[LabelledNote], Sequence[Hit]] | None = None,
) -> list[ChatRecord]:
    """Make one record of each labelled note; the reply is the label's id.

    Args:
        notes: The notes; ``also`` is not trained on.
        labels: The labels that the prompt lists; None shows the note alone, for a model that is tuned on the labels.
        examples: Gives the (note, label id) pairs shown before a note. They must come from other notes than those that
            are held out.
        guideline: Gives the passages shown with a note.

    Raises:
        ValueError: If a label is not among ``labels``, or its id would be changed by ``neutralise``.
    """
    known = None if labels is None else {label.id for label in labels}
    records = []
    for note in notes:
        if known is not None and note.label not in known:
            raise ValueError(
                f"note {note.id!r} has the label {note.label!r}, expected one of {len(known)} given labels"
            )
        if neutralise(note.label) != note.label:
            raise ValueError(f"note {note.id!r}: the label {note.label!r} holds what could pass for a control token")
        shown = examples(note) if examples else ()
        passages = guideline(note) if guideline else ()
        groups = ([f"patient:{note.group}"] if note.group else []) + ([f"note:{note.id}"] if note.id else [])
        prompt = prompts.label_chat(note.text, labels, shown, passages)
        records.append(ChatRecord(prompt, note.label, note.id, tuple(groups), note.label))
    return records


def abstract_hit(row: Mapping[str, Any]) -> Hit:
    """Return the paragraphs of a question's own abstract (``pmid`` and ``contexts``) as one passage."""
    text = "\n\n".join(row["contexts"])
    return Hit(Passage(f"PMID:{row['pmid']}", 0, len(text), text), 1.0)


def long_answer(verdict: str, answer: str, keys: Sequence[int] = ()) -> str:
    """Write a reply as the answer prompt asks for it: the verdict, then each sentence with its citation marks.

    Args:
        verdict: yes, no or maybe, or "" where the question asks for none.
        answer: The answer; a verdict that it begins with is not repeated.
        keys: 1-based numbers of the passages that every sentence rests on; none without passages.
    """
    word = verdict.capitalize()
    text = " ".join(answer.split())
    if word and text.casefold().startswith((f"{verdict}.", f"{verdict},")):
        text = text[len(word) + 1 :].lstrip()
    marks = "".join(f"[{key}]" for key in dict.fromkeys(keys))
    sentences = [text[start:end].strip() for start, end in split_sentences(text)]
    cited = [f"{sentence} {marks}" if marks else sentence for sentence in sentences if sentence]
    if word and not cited:
        return f"{word}. {marks}".rstrip()
    return neutralise(" ".join([f"{word}.", *cited] if word else cited))


def answer_records(
    rows: Iterable[Mapping[str, Any]], *, reply: Literal["verdict", "answer"] = "verdict", passages: bool = True
) -> list[ChatRecord]:
    """Make one record of each question that comes with its abstract, as PubMedQA's do (Jin et al., EMNLP 2019).

    Args:
        rows: Each has ``question``, ``answer`` (yes, no or maybe), with ``passages`` also ``contexts`` (paragraphs) and
            ``pmid``, and for ``"answer"`` also ``long_answer``; ``patient``, ``note`` and ``source`` group.
        reply: ``"verdict"`` for the word alone; ``"answer"`` for the verdict and the long answer, cited where there are
            passages.
        passages: Whether the prompt shows the abstract; without it the question stands alone.

    Raises:
        ValueError: If an answer is not yes, no or maybe, or ``reply`` is unknown.
    """
    if reply not in ("verdict", "answer"):
        raise ValueError(f"reply must be 'verdict' or 'answer', got {reply!r}")
    records = []
    for row in rows:
        verdict, name = row["answer"], str(row.get("id") or row.get("pmid") or "")
        if verdict not in VERDICTS:
            raise ValueError(f"question {name!r} has the answer {verdict!r}, expected one of {', '.join(VERDICTS)}")
        hits = [abstract_hit(row)] if passages else None
        if reply == "verdict":
            prompt, completion = prompts.verdict_chat(row["question"], hits), verdict
        elif hits is None:
            prompt = prompts.answer_alone_chat(row["question"])
            completion = long_answer(verdict, row["long_answer"])
        else:
            prompt = prompts.answer_chat(row["question"], hits)
            completion = long_answer(verdict, row["long_answer"], [1])
        source = [f"source:PMID:{row['pmid']}"] if row.get("pmid") else []
        records.append(ChatRecord(prompt, completion, name, _groups(row, source), verdict))
    return records


def is_complete(report: LabelledReport | Mapping[str, Any]) -> bool:
    """Whether a report has both findings and an impression."""
    return bool(_part(report, "findings") and _part(report, "impression"))


def report_records(
    reports: Iterable[LabelledReport | Mapping[str, Any]],
    write: Literal["findings", "impression"] = "findings",
    *,
    style: Literal["report", "alpaca"] = "report",
) -> list[ChatRecord]:
    """Make one record of each radiology report.

    Args:
        reports: Reports, or rows with ``findings``, ``impression`` and perhaps ``indication``, ``id`` or ``uid``;
            ``patient``, ``note`` and ``source`` group.
        write: What the reply is: the ``"findings"`` that lead to the impression, or the ``"impression"`` of the
            findings.
        style: ``"report"`` for a system and a user turn; ``"alpaca"`` for the same two in Alpaca's words, as one turn.

    Raises:
        ValueError: If ``write`` is unknown, or a report lacks one of the two sections; leave those out with
            ``is_complete``.
    """
    asks = {"findings": (prompts.report_chat, "impression"), "impression": (prompts.impression_chat, "findings")}
    if write not in asks:
        raise ValueError(f"write must be 'findings' or 'impression', got {write!r}")
    if style not in ("report", "alpaca"):
        raise ValueError(f"style must be 'report' or 'alpaca', got {style!r}")
    chat, given = asks[write]
    records, lacking = [], []
    for number, report in enumerate(reports):
        name = _name(report)
        if not is_complete(report):
            lacking.append(name or f"number {number}")
            continue
        prompt = chat(_part(report, given), _part(report, "indication"))
        if style == "alpaca":
            prompt = prompts.alpaca_chat(*(turn.content for turn in prompt))
        groups = _groups({} if isinstance(report, LabelledReport) else report, [f"note:{name}"] if name else [])
        records.append(ChatRecord(prompt, neutralise(_part(report, write)), name, groups))
    if lacking:
        raise ValueError(
            f"{len(lacking)} of {len(lacking) + len(records)} reports lack findings or impression (the first is "
            f"{lacking[0]!r}); leave them out: [r for r in reports if is_complete(r)]"
        )
    return records


def instruction_records(
    rows: Iterable[Mapping[str, Any]], *, style: Literal["chat", "alpaca"] = "chat"
) -> list[ChatRecord]:
    """Make one record of each instruction.

    Args:
        rows: Each has ``instruction`` and ``output``, and perhaps ``input``, ``id`` and ``label``; ``patient``,
            ``note`` and ``source`` group.
        style: ``"chat"`` for the instruction as system turn and the input as user turn; ``"alpaca"`` for both in
            Alpaca's words, as one turn.
    """
    chats = {"chat": prompts.instruction_chat, "alpaca": prompts.alpaca_chat}
    if style not in chats:
        raise ValueError(f"style must be 'chat' or 'alpaca', got {style!r}")
    return [
        ChatRecord(
            prompt=chats[style](row["instruction"], row.get("input") or ""),
            completion=neutralise_tokens(row["output"]),
            id=str(row.get("id") or ""),
            groups=_groups(row),
            label=str(row.get("label") or ""),
        )
        for row in rows
    ]


def _groups(row: Mapping[str, Any], more: Sequence[str] = ()) -> tuple[str, ...]:
    named = [f"{prefix}{row[key]}" for key, prefix in _KEYS.items() if row.get(key) not in (None, "")]
    return tuple(dict.fromkeys([*named, *more]))


def _part(report: LabelledReport | Mapping[str, Any], name: str) -> str:
    text = report.section(name) if isinstance(report, LabelledReport) else report.get(name) or ""
    return str(text).strip()


def _name(report: LabelledReport | Mapping[str, Any]) -> str:
    return report.id if isinstance(report, LabelledReport) else str(report.get("id") or report.get("uid") or "")
