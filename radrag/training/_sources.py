"""Files of training data as the command line names them, turned into the records of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from radrag.corpora import (
    FileFailure,
    load_evidence,
    load_notes,
    load_protocols,
    load_questions,
    load_reports,
    read_files,
    read_labelled_notes,
)
from radrag.corpora.rows import Row, json_rows
from radrag.errors import CorpusError
from radrag.generation.prompts import neutralise_tokens
from radrag.training.formats import read_instructions
from radrag.training.preferences import Correction, PreferencePair, pairs_from_corrections
from radrag.training.reader import check_contexts
from radrag.training.records import ChatRecord, answer_records, is_complete, label_records, report_records
from radrag.training.small_llama import HELD_SHARE, base_texts, protocol_records
from radrag.training.splits import grouped_split
from radrag.types import VERDICTS, Chat, LabelledNote, Message, Status

SHIPPED = "shipped"
_STYLES = ("report", "alpaca")
_RETRIEVAL = "retrieval"
_ROLES = ("system", "user", "assistant")


def load_records(
    kind: str, data: str | Path, style: str = "", valid: str | Path | None = None
) -> tuple[list[ChatRecord], list[ChatRecord] | None]:
    """Read the records of a kind, to train on and to measure on.

    Args:
        kind: labels, answers, reports or instructions.
        data: A file, or "shipped". Files of chats (messages, Alpaca, ChatML, Llama-3 text, prompt and completion) are
            read for every kind.
        style: How prompts are written, where the kind leaves a choice: "alpaca" for reports; "retrieval" for labels
            that are shipped protocols, some with what is found for the note (to measure on, always the note alone).
        valid: A file to measure on.

    Returns:
        Records to train on; and those of ``valid``, or without it a tenth left out of "retrieval", or None.

    Raises:
        ValueError: If there is no such kind, or nothing of that kind ships.
        CorpusError: If a file cannot be read.
    """
    makers: dict[str, Callable[[str | Path], list[ChatRecord]]] = {
        "labels": lambda source: label_records(_notes(source)),
        "answers": lambda source: answer_records(_shipped_questions() if source == SHIPPED else _rows(Path(source))),
        "reports": lambda source: _reports(source, style),
        "instructions": lambda source: list(read_instructions(source)),
    }
    if kind not in makers:
        raise ValueError(f"records must be of kind {', '.join(makers)}, got {kind!r}")
    if kind == "labels" and style not in ("", _RETRIEVAL):
        raise ValueError(f"format must be {_RETRIEVAL!r} or left out, got {style!r}")
    if data == SHIPPED and kind == "instructions":
        raise ValueError("no instructions ship: name a file with --data")

    def read(source: str | Path) -> list[ChatRecord]:
        records = list(read_instructions(source)) if _is_chats(source) else makers[kind](source)
        if not records:
            raise CorpusError(f"holds no record of kind {kind}", file=source)
        return records

    for source in (data, valid):
        if source not in (None, SHIPPED) and not Path(source).is_file():
            raise CorpusError("there is no such file", file=source)
    held = None if valid is None else read(valid)
    if kind != "labels" or style != _RETRIEVAL or _is_chats(data):
        return read(data), held
    notes = _notes(data)
    if held is None:
        notes, left = grouped_split(notes, HELD_SHARE, 0)
        held = label_records(left)
    return protocol_records(notes), held


def load_texts(data: str | Path, seed: int = 0) -> list[str | Chat]:
    """Read plain texts: documents of files, what ships, or what ships and open sources in a folder of them.

    Args:
        data: "shipped"; a folder with medquad.jsonl.gz and evidence_inference_abstracts.jsonl.gz; or documents in any
            form that can be indexed.
        seed: Seed of what is drawn and held out of what ships.
    """
    if data == SHIPPED:
        return base_texts(None, seed)
    if (Path(data) / "medquad.jsonl.gz").is_file():
        return base_texts(data, seed)
    failures: list[FileFailure] = []
    texts = [f"{document.title}\n{document.text}".strip() for document in read_files([Path(data)], failures)]
    if failures:
        raise CorpusError(f"cannot be read: {failures[0]}", file=data)
    return [*texts]


def plain_texts(data: str | Path) -> list[str]:
    """Read texts for a domain adapter: the shipped guidelines, digests and reports, or documents of files."""
    if data != SHIPPED:
        return [text for text in load_texts(data) if isinstance(text, str)]
    documents = [*load_protocols(), *load_evidence()]
    return [*(f"{one.title}\n{one.text}" for one in documents), *(report.text for report in load_reports())]


def load_outcomes(
    data: str | Path, known: Sequence[str] | None = None
) -> tuple[str, tuple[str, ...], list[str], Any, list[str] | None]:
    """Read texts with outcomes.

    Args:
        data: "shipped", the reports with the findings that are present; or JSON Lines with ``text`` and ``labels`` (a
            list), or ``label`` (a name, or 0 and 1), and perhaps ``group``.
        known: The outcomes that are told apart already, for held-out texts; None takes those of the texts.

    Returns:
        Kind (multilabel, single or binary), names, texts, targets, and groups if there are any.
    """
    if data == SHIPPED:
        reports = load_reports()
        rows = [
            {"text": one.text, "labels": [f.finding for f in one.findings if f.status is Status.PRESENT]}
            for one in reports
        ]
        names = sorted({finding.finding for one in reports for finding in one.findings})
    else:
        rows = [dict(row.values) for row in json_rows(Path(data)) if row.filled("text")]
        names = sorted({name for row in rows for name in row.get("labels", ())})
    strange = sorted(set(names) - set(known)) if known is not None else []
    if strange:
        raise CorpusError(f"holds outcomes that the training texts lack: {', '.join(strange)}", file=data)
    names = names if known is None else list(known)
    groups = [str(row["group"]) for row in rows] if rows and all("group" in row for row in rows) else None
    texts = [str(row["text"]) for row in rows]
    if rows and all(isinstance(row.get("labels"), list) for row in rows):
        targets: Any = [[int(name in row["labels"]) for name in names] for row in rows]
        return "multilabel", tuple(names), texts, targets, groups
    values: list[Any] = [row.get("label") for row in rows]
    if values and all(value in (0, 1) for value in values):
        return "binary", ("outcome",), texts, values, groups
    if values and all(isinstance(value, str) and value for value in values):
        return "single", tuple(sorted({str(value) for value in values})), texts, values, groups
    raise CorpusError("expected in every row a list labels, or a label that is a name, or 0 or 1", file=data)


def load_pairs(path: Path) -> list[PreferencePair]:
    """Read preference pairs, or a reviewer's corrections.

    Args:
        path: JSON Lines with ``note``, ``suggested`` and ``right``, or with ``prompt`` (a text, or turns), ``chosen``
            and ``rejected``; and perhaps ``id`` and ``group``.
    """
    corrections, pairs = [], []
    for row in json_rows(path):
        name, group = str(row.values.get("id", "")), str(row.values.get("group", ""))
        if "note" in row.values:
            note, suggested, right = (row.filled(field) for field in ("note", "suggested", "right"))
            corrections.append(Correction(note, suggested, right, name, group))
            continue
        groups = (f"patient:{group}",) if group else ()
        pairs.append(PreferencePair(_chat(row), row.filled("chosen"), row.filled("rejected"), name, groups))
    return [*pairs, *pairs_from_corrections(corrections)]


def _chat(row: Row) -> Chat:
    asked = row.need("prompt")
    turns: list[Any] = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    for turn in turns:
        if not isinstance(turn, dict) or not isinstance(turn.get("content"), str) or turn.get("role") not in _ROLES:
            row.fail(
                f"expected a text, or turns with role ({', '.join(_ROLES)}) and content, got {turn!r:.60}", "prompt"
            )
    return tuple(Message(turn["role"], neutralise_tokens(turn["content"])) for turn in turns)


def _notes(data: str | Path) -> list[LabelledNote]:
    return load_notes("train") if data == SHIPPED else list(read_labelled_notes(data))


def _rows(path: Path) -> list[Mapping[str, Any]]:
    """Return the rows of questions with their abstracts; refuse one that lacks what a record is made of."""
    found = []
    for row in json_rows(path):
        row.filled("question")
        row.name("pmid")
        if row.string("answer") not in VERDICTS:
            row.fail(f"expected one of {', '.join(VERDICTS)}", "answer")
        check_contexts(row)
        found.append(row.values)
    return found


def _is_chats(data: str | Path) -> bool:
    """Whether a file holds records that are chats already."""
    if data == SHIPPED:
        return False
    path = Path(data)
    if path.name.removesuffix(".gz").endswith(".json"):
        return True
    if not path.name.removesuffix(".gz").endswith(".jsonl"):
        return False
    first = next(islice(json_rows(path), 1), None)
    keys = set() if first is None else set(first.values)
    return bool({"messages", "instruction"} & keys) or {"prompt", "completion"} <= keys


def _reports(data: str | Path, style: str) -> list[ChatRecord]:
    if style and style not in _STYLES:
        raise ValueError(f"format must be one of {', '.join(_STYLES)}, got {style!r}")
    rows: Sequence[Any] = load_reports() if data == SHIPPED else [row.values for row in json_rows(Path(data))]
    whole = [row for row in rows if is_complete(row)]
    return report_records(whole, style="alpaca" if style == "alpaca" else "report")


def _shipped_questions() -> Iterator[dict[str, Any]]:
    """Yield the shipped yes/no questions that one digest answers, with the spans that do as passage."""
    for question in load_questions():
        sources = {span.document_id for span in question.gold}
        source = next(iter(sources), "")
        if question.verdict and len(sources) == 1 and source.startswith("PMID:"):
            yield {
                "id": question.id,
                "pmid": source.removeprefix("PMID:"),
                "question": question.text,
                "contexts": [span.quote for span in question.gold],
                "answer": question.verdict,
                "long_answer": question.answer,
            }
