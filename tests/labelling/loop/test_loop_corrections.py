"""Decisions: a file that only grows, what stands of it, and what it makes of notes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.errors import CorpusError
from radrag.labelling.loop import (
    Action,
    Decision,
    add_round,
    append_decision,
    apply_corrections,
    preference_rows,
    read_decisions,
    read_rounds,
)
from radrag.labelling.loop.corrections import standing
from radrag.labelling.loop.files import file_hash, text_hash
from radrag.types import LabelledNote

NOTES = [LabelledNote(f"note {'x' * number}", "a", f"n{number}", f"p{number}") for number in range(6)]


def decide(
    number: int, action: str, right: str = "", reviewer: str = "Ada", time: int = 0, reason: str = ""
) -> Decision:
    note = NOTES[number]
    when = f"2026-01-01T00:00:{time:02}+00:00"
    return Decision(
        note.id, text_hash(note.text), note.text, "a", "b", right, Action(action), reviewer, when, reason, note.group
    )


def test_corrections_by_hand() -> None:
    made = [
        decide(0, "accept", "b", time=1, reason="clear"),
        decide(0, "accept", "b", "Bo", time=2),
        decide(1, "correct", "a"),
        decide(2, "accept", "b"),
        decide(2, "correct", "c", "Bo"),
        decide(3, "unsure"),
        decide(4, "skip"),
        decide(5, "unsure"),
        decide(5, "correct", "d", "Bo"),
    ]
    found = apply_corrections(NOTES, made)
    assert [note.label for note in found.notes] == ["b", "a", "a", "a", "a", "d"]
    assert [replace(note, label="a") for note in found.notes] == NOTES
    assert [(one.note_id, one.before, one.after, one.reviewers) for one in found.changes] == [
        ("n0", "a", "b", ("Ada", "Bo")),
        ("n1", "a", "a", ("Ada",)),
        ("n5", "a", "d", ("Bo",)),
    ]
    assert (found.changes[0].reasons, found.changes[0].time) == (("clear",), made[1].time)
    assert [(one.note_id, one.given, one.choices) for one in found.conflicts] == [
        ("n2", "a", (("Ada", "b"), ("Bo", "c")))
    ]
    assert (found.unsure, found.stale, found.unmatched) == (("n3",), (), ())
    assert str(found) == "2 labels changed, 1 confirmed, 1 conflicts, 1 unsure"
    assert "notes" not in found.to_dict()
    again = apply_corrections(found.notes, made)  # a second time changes nothing
    assert again.notes == found.notes
    assert again.stale == ()


def test_what_was_not_reviewed_is_not_changed() -> None:
    made = [decide(0, "accept", "b"), decide(1, "accept", "b"), decide(2, "accept", "b")]
    edited = [replace(NOTES[0], text="another text"), replace(NOTES[1], label="z")]
    found = apply_corrections(edited, made)
    assert found.notes == tuple(edited)
    assert (found.stale, found.unmatched, found.changes) == (("n0", "n1"), ("n2",), ())
    with pytest.raises(ValueError, match="'b', which is not in the label set"):
        apply_corrections(NOTES, made, labels={"a", "c"})


def test_undo_takes_back_the_last_of_that_reviewer() -> None:
    made = [
        decide(0, "accept", "b"),
        decide(0, "correct", "c"),
        decide(0, "correct", "d", "Bo"),
        decide(0, "undo"),
    ]
    assert {key: one.right for key, one in standing(made).items()} == {("n0", "Ada"): "b", ("n0", "Bo"): "d"}
    assert standing([*made, decide(0, "undo")]).keys() == {("n0", "Bo")}
    with pytest.raises(ValueError, match="'Cy' undid nothing"):
        standing([*made, decide(0, "undo", reviewer="Cy")])


ACTIONS = st.sampled_from([("accept", "b"), ("correct", "c"), ("unsure", ""), ("skip", ""), ("undo", "")])


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["Ada", "Bo"]), ACTIONS), max_size=25))
def test_what_stands_is_what_a_stack_keeps(steps: list[tuple[int, str, tuple[str, str]]]) -> None:
    stacks: dict[tuple[str, str], list[str]] = {}
    made = []
    for number, reviewer, (action, right) in steps:
        stack = stacks.setdefault((f"n{number}", reviewer), [])
        if action == "undo" and not stack:
            continue
        made.append(decide(number, action, right, reviewer))
        if action == "undo":
            stack.pop()
        else:
            stack.append(action)
    expected = {key: stack[-1] for key, stack in stacks.items() if stack}
    assert {key: one.action.value for key, one in standing(made).items()} == expected
    labelled = {note.id: note.label for note in apply_corrections(NOTES, made).notes}
    for name in ("n0", "n1", "n2"):
        votes = {one.right for (note, _), one in standing(made).items() if note == name and one.right}
        assert labelled[name] == (votes.pop() if len(votes) == 1 else "a")


def test_the_file_only_grows_and_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    append_decision(path, decide(0, "accept", "b"))
    before = path.read_bytes()
    append_decision(path, decide(0, "undo"))
    assert path.read_bytes().startswith(before)
    assert path.stat().st_mode & 0o077 == 0
    whole = path.read_bytes()
    with path.open("ab") as stream:
        stream.write(whole[: len(before) // 2])  # the machine stopped
    append_decision(path, decide(1, "unsure", reason="é\n"))
    assert read_decisions(path) == (decide(0, "accept", "b"), decide(0, "undo"), decide(1, "unsure", reason="é\n"))
    assert path.read_bytes().startswith(whole)
    assert path.with_name("decisions.jsonl.torn").read_bytes() == whole[: len(before) // 2] + b"\n"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"right": ""}, "does not go with"),
        ({"action": "delete"}, "delete"),
        ({"reviewer": " "}, "reviewer must not be blank"),
        ({"time": 7}, "expected a string"),
    ],
)
def test_a_line_that_is_no_decision_is_refused(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(json.dumps({**decide(0, "accept", "b").to_dict(), **change}) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=told):
        read_decisions(path)


def test_preferences_are_what_training_takes() -> None:
    from radrag.training import Correction, pairs_from_corrections

    made = [
        decide(0, "accept", "b"),
        decide(1, "correct", "c"),
        decide(2, "correct", "c"),
        decide(2, "correct", "d", "Bo"),
        decide(3, "unsure"),
        decide(4, "correct", "a"),
        decide(5, "correct", "a"),
        decide(5, "undo"),
    ]
    rows = list(preference_rows(made))
    assert [(row["id"], row["suggested"], row["right"]) for row in rows] == [("n1", "b", "c"), ("n4", "b", "a")]
    pairs = pairs_from_corrections(Correction(**row) for row in rows)
    assert [(pair.chosen, pair.rejected, pair.groups) for pair in pairs] == [
        ("c", "b", ("patient:p1", "note:n1")),
        ("a", "b", ("patient:p4", "note:n4")),
    ]


def test_rounds_are_numbered_hashed_and_whole(tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    notes.write_text("{}\n", encoding="utf-8")

    def write(folder: Path) -> dict[str, int]:
        (folder / "out.txt").write_text("found", encoding="utf-8")
        return {"issues": 3}

    assert read_rounds(tmp_path / "loop") == ()
    first = add_round(tmp_path / "loop", "issues", {"notes": notes}, write, {"near": 0.6})
    second = add_round(tmp_path / "loop", "errors", {}, write)
    assert [one.folder.name for one in (first, second)] == ["0001", "0002"]
    assert first.inputs == {"notes": {"path": str(notes), "sha256": file_hash(notes)}}
    assert (first.step, first.settings, first.figures) == ("issues", {"near": 0.6}, {"issues": 3})
    assert first.outputs == {"out.txt": file_hash(first.folder / "out.txt")}

    def broken(folder: Path) -> dict[str, int]:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        add_round(tmp_path / "loop", "issues", {}, broken)
    assert [path.name for path in sorted((tmp_path / "loop").iterdir())] == ["0001", "0002"]
    assert read_rounds(tmp_path / "loop") == (first, second)
    (first.folder / "out.txt").write_text("altered", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"0001/out\.txt.*changed"):
        read_rounds(tmp_path / "loop")


def test_an_older_history_goes_on_where_it_is(tmp_path: Path) -> None:
    """It kept its rounds one level down."""
    first = add_round(tmp_path / "loop" / "rounds", "issues", {}, lambda _: {})
    assert first.folder == tmp_path / "loop" / "rounds" / "0001"
    assert read_rounds(tmp_path / "loop") == (first,)
    second = add_round(tmp_path / "loop", "errors", {}, lambda _: {})
    assert second.folder == tmp_path / "loop" / "rounds" / "0002"
    assert read_rounds(tmp_path / "loop") == (first, second)
