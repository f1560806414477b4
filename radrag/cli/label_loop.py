"""``radrag label pseudo``, ``issues``, ``correct``, ``errors``: the loop that cleans labels, on files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from radrag.cli import label_loop_files as files
from radrag.cli.app import fail, show
from radrag.cli.index import Folder, Json

Labelled = Annotated[Path, typer.Argument(help="Labelled notes, .csv or .jsonl.", metavar="NOTES")]
Text = Annotated[str, typer.Option("--text", help="Column or key of the note.")]
Label = Annotated[str, typer.Option("--label", help="Column or key of the label.")]
Name = Annotated[str | None, typer.Option("--id", help="Column of the note's name; left out, id where there is one.")]
Group = Annotated[str | None, typer.Option("--group", help="Column of the patient; left out, group where it is there.")]
Labels = Annotated[Path | None, typer.Option(help="Labels: .csv, .yaml, .md, or a folder of guidelines. Left out, "
                                             "every guideline of the index is a label.")]  # fmt: skip
History = Annotated[Path, typer.Option(help="Folder that keeps what went in and what came out, in 0001 and on.")]


def register(commands: typer.Typer) -> None:
    """Hang the verbs under ``radrag label``."""
    for command in (pseudo, issues, correct, errors):
        commands.command()(command)


def pseudo(
    index: Folder,
    notes: Annotated[Path, typer.Argument(help="Raw notes, .csv or .jsonl.")],
    history: History,
    model: Annotated[Path | None, typer.Option(help="Folder of a fitted labeller. Left out, the guidelines and the "
                                               "small model that ships label, uncalibrated.")] = None,
    labels: Labels = None,
    text: Text = "text",
    id: Name = None,
    group: Group = None,
    least: Annotated[float, typer.Option(help="Probability that a label needs; the rest is in unsure.jsonl.")] = 0.0,
    queue: Annotated[int, typer.Option(help="Most notes in the review queue.")] = 200,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Label raw notes, and put the ones most worth a look in a review queue."""
    from radrag.corpora.rows import rows
    from radrag.indexes.hybrid import HybridIndex
    from radrag.labelling.loop import add_round, note_ids, pseudo_label, review_queue
    from radrag.labelling.loop.files import write_jsonl
    from radrag.pipelines.label import LabelPipeline
    from radrag.types import LabelledNote

    raw = [
        LabelledNote(row.filled(text), "", files.named(row.values, id, "id"), files.named(row.values, group, "group"))
        for row in rows(notes)
    ]
    note_ids(raw)
    with HybridIndex.open(index) as opened:
        known = files.label_set(opened, labels)
        pipeline = LabelPipeline(opened, labels=known) if model is None else LabelPipeline.load(model, opened)
        made = pseudo_label(
            pipeline,
            [note.text for note in raw],
            ids=[note.id for note in raw],
            groups=[note.group for note in raw],
            least=least,
        )
        guessed = [
            LabelledNote(note.text, result.label, note.id, note.group)
            for note, result in zip(raw, made.results, strict=True)
        ]

    def write(folder: Path) -> Mapping[str, Any]:
        write_jsonl(folder / "pseudo.jsonl", (row.to_dict() for row in made.rows))
        write_jsonl(folder / "unsure.jsonl", (row.to_dict() for row in made.unsure))
        files.write_results(folder / "results.jsonl", made.results)
        files.write_queue(folder, review_queue(guessed, made.results, limit=queue), pipeline.labels)
        return {"labelled": len(made.rows), "unsure": len(made.unsure)}

    done = add_round(history, "pseudo", {"notes": notes}, write, {"least": least, "manifest": dict(made.manifest)})
    show({"round": str(done.folder), **done.figures}, f"{made}; written to {done.folder}.", as_json)


def issues(
    index: Folder,
    notes: Labelled,
    history: History,
    labels: Labels = None,
    text: Text = "text",
    label: Label = "label",
    id: Name = None,
    group: Group = None,
    without: Annotated[list[str] | None, typer.Option(help="Kind of doubt to leave out, such as confident-learning, "
                                                      "which needs cleanlab. May be repeated.")] = None,
    near: Annotated[float, typer.Option(help="Similarity from which notes are near copies, up to 1.")] = 0.6,
    queue: Annotated[int, typer.Option(help="Most notes in the review queue.")] = 200,
    reviewed: Annotated[list[Path] | None, typer.Option(help="File of decisions: notes with one are not queued again. "
                                                        "May be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Find labels that look wrong, by labelling every note out of fold, and queue them for review."""
    from radrag.corpora import read_labelled_notes
    from radrag.indexes.hybrid import HybridIndex
    from radrag.labelling.loop import IssueKind, add_round, find_label_issues, out_of_fold, review_queue
    from radrag.pipelines.label import LabelPipeline

    wrong = [kind for kind in without or [] if kind not in list(IssueKind)]
    if wrong:
        fail(f"there is no kind of doubt {wrong[0]!r}; the kinds are {', '.join(IssueKind)}")
    kinds = [kind for kind in IssueKind if kind not in (without or [])]
    examples = list(read_labelled_notes(notes, text, label, id, group))
    if IssueKind.CONFIDENT_LEARNING in kinds:
        files.need_cleanlab()
    done = files.reviewed(reviewed or [])
    with HybridIndex.open(index) as opened:
        known = files.label_set(opened, labels)
        with files.bar("Labelling out of fold") as told:
            results = out_of_fold(
                examples,
                lambda some: LabelPipeline(opened, labels=known, seed=seed).fit(some),
                seed=seed,
                progress=told,
            )
    found = find_label_issues(examples, results, kinds=kinds, near=near)

    def write(folder: Path) -> Mapping[str, Any]:
        files.write_results(folder / "results.jsonl", results)
        files.write_issues(folder, found)
        files.write_queue(folder, review_queue(examples, results, found.issues, reviewed=done, limit=queue), known)
        return {"notes": found.notes, "issues": found.counts, "siblings": len(found.siblings)}

    inputs = {"notes": notes, **({"labels": labels} if labels else {})}
    settings = {"kinds": [kind.value for kind in kinds], "near": near, "seed": seed, "labels": known.fingerprint}
    made = add_round(history, "issues", inputs, write, settings)
    lines = [str(found), *(f"Note: {warning}" for warning in found.warnings)]
    lines.append(f"Review with: radrag label review {made.folder / 'queue.jsonl'} --out DECISIONS --reviewer NAME")
    show({"round": str(made.folder), **made.figures, "warnings": list(found.warnings)}, "\n".join(lines), as_json)


def correct(
    notes: Labelled,
    decisions: Annotated[list[Path], typer.Argument(help="Files of decisions that the review wrote.")],
    out: Annotated[Path, typer.Option(help="Write the notes with their new labels here, JSON Lines.")],
    history: History,
    preferences: Annotated[Path | None, typer.Option(help="Write suggested and right label of corrected notes here, "
                                                     "for preference tuning.")] = None,
    text: Text = "text",
    label: Label = "label",
    id: Name = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Apply what reviewers decided. Notes on which they disagree keep their label, and the exit code is 1."""
    from radrag.corpora import read_labelled_notes
    from radrag.corpora.rows import rows
    from radrag.labelling.loop import add_round, apply_corrections, preference_rows, read_decisions
    from radrag.labelling.loop.files import file_hash, write_jsonl

    if out.exists() and out.samefile(notes):
        fail(f"{out} is the file of the notes itself; the labels as they were would be lost: give another --out")
    made = [decision for path in decisions for decision in read_decisions(path)]
    records = [dict(row.values) for row in rows(notes)]
    found = apply_corrections(list(read_labelled_notes(notes, text, label, id)), made)
    files.keep_history(records, found.notes, found.changes, label, [text, id or "id"])
    preferred = list(preference_rows(made))

    def write(folder: Path) -> Mapping[str, Any]:
        write_jsonl(folder / "changes.jsonl", found.to_dict()["changes"])
        write_jsonl(folder / "conflicts.jsonl", found.to_dict()["conflicts"])
        write_jsonl(folder / "preferences.jsonl", preferred)
        changed = sum(change.before != change.after for change in found.changes)
        left = {name: list(getattr(found, name)) for name in ("unsure", "stale", "unmatched")}
        return {
            "changed": changed,
            "confirmed": len(found.changes) - changed,
            "conflicts": len(found.conflicts),
            **left,
        }

    inputs = {"notes": notes, **{f"decisions {place}": path for place, path in enumerate(decisions, start=1)}}
    write_jsonl(out, records)
    done = add_round(history, "correct", inputs, write, {"out": str(out), "out_sha256": file_hash(out)})
    if preferences is not None:
        write_jsonl(preferences, preferred)
    lines = [f"{found}; written to {out}."]
    lines += [
        f"{one.note_id}: {', '.join(f'{who} says {what}' for who, what in one.choices)}" for one in found.conflicts
    ]
    show({"round": str(done.folder), **done.figures}, "\n".join(lines), as_json)
    if found.conflicts:
        raise typer.Exit(1)


def errors(
    notes: Labelled,
    results: Annotated[Path, typer.Argument(help="Results of these notes, as predict, issues or pseudo wrote them.")],
    previous: Annotated[Path | None, typer.Option(help="Results of the last round on the same notes.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="Column of the notes to part them by, such as modality, region, "
                                                 "year or site. May be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report here, Markdown.")] = None,
    history: Annotated[Path | None, typer.Option(help="Folder of the history; left out, nothing is kept.")] = None,
    texts: Annotated[bool, typer.Option(help="Show words of the notes.")] = True,
    text: Text = "text",
    label: Label = "label",
    id: Name = None,
    group: Group = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say where a labeller errs: confusions, slices, the surest errors, and what changed since the last round."""
    from radrag.corpora import read_labelled_notes
    from radrag.corpora.rows import rows
    from radrag.labelling.loop import add_round, error_analysis

    examples = list(read_labelled_notes(notes, text, label, id, group))
    records = list(rows(notes))
    usual = [name for name in ("modality", "region", "year") if records and name in records[0].values]
    columns = {name: [row.need(name) for row in records] for name in dict.fromkeys([*usual, *(by or [])])}
    now = files.read_results(results, examples, notes)
    before = None if previous is None else files.read_results(previous, examples, notes)
    found = error_analysis(examples, now, before, columns=columns)
    if history is not None:

        def write(folder: Path) -> Mapping[str, Any]:
            values = json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
            (folder / "errors.json").write_text(values + "\n", encoding="utf-8")
            (folder / "errors.md").write_text(found.to_markdown(), encoding="utf-8")
            return {"accuracy": found.accuracy.value, "n": found.accuracy.n, "macro_f1": found.macro_f1}

        inputs = {"notes": notes, "results": results, **({"previous": previous} if previous else {})}
        add_round(history, "errors", inputs, write)
    if out is not None:
        out.write_text(found.to_markdown(texts=texts), encoding="utf-8")
    show(found.to_dict(texts=texts), found.to_markdown(texts=texts), as_json)
