"""One reviewer's way through a queue: what is shown, what was decided, and where to go on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radrag.labelling.loop.corrections import Action, Decision, append_decision, now, read_decisions, standing
from radrag.labelling.loop.queue import Queue, QueueRow

LONGEST_REASON = 2000


class ReviewSession:
    """A queue, the file of decisions, and a reviewer. The file is the only state: what is in it is what was decided.

    Several threads may call it.

    Args:
        queue: The notes to review.
        decisions: The file that decisions are added to; those already in it are resumed.
        reviewer: Name of the reviewer.

    Raises:
        ValueError: If the reviewer has no name, or the queue is empty.
        CorpusError: If the file cannot be read.
    """

    def __init__(self, queue: Queue, decisions: str | Path, reviewer: str) -> None:
        self.reviewer = " ".join(reviewer.split())
        if not self.reviewer:
            raise ValueError("the reviewer must have a name, got a blank one; it is kept with every decision")
        if not queue.rows:
            raise ValueError("the queue holds no notes; there is nothing to review")
        self._rows = {row.note_id: row for row in queue.rows}
        self._labels = {str(label["id"]): label for label in queue.labels}
        self._file = Path(decisions)
        self._lock = threading.Lock()
        made = read_decisions(self._file) if self._file.is_file() else ()
        self._made = [one for one in made if one.reviewer == self.reviewer and one.note_id in self._rows]
        standing(self._made)  # a file that cannot be right is refused now, not at the first undo

    def state(self) -> dict[str, Any]:
        """Return who reviews, the labels, and every note's name and state, in the order of the queue."""
        with self._lock:
            return {
                "reviewer": self.reviewer,
                "file": self._file.name,
                "labels": list(self._labels.values()),
                "longest_reason": LONGEST_REASON,
                **self._progress(),
            }

    def note(self, name: str) -> dict[str, Any]:
        """Return what the screen shows of a note.

        Raises:
            KeyError: If it is not in the queue.
        """
        row = self._row(name)
        with self._lock:
            decision = self._standing().get(name)
        shown = row.to_dict()
        shown["pieces"] = _pieces(row)
        shown["decision"] = None if decision is None else {
            "action": decision.action.value, "right": decision.right, "reason": decision.reason, "time": decision.time,
        }  # fmt: skip
        return shown

    def decide(self, name: str, action: str, right: str = "", reason: str = "") -> dict[str, Any]:
        """Keep a decision and return the progress.

        Raises:
            KeyError: If the note is not in the queue.
            ValueError: If the action is unknown, the label is not in the label set, or the reason is too long.
        """
        row, kind = self._row(name), Action(action)
        if kind is Action.UNDO:
            raise ValueError("an undo goes to undo, not to decide")
        if right and right not in self._labels:
            raise ValueError(f"{right!r} is not among the {len(self._labels)} labels of the queue")
        if len(reason) > LONGEST_REASON:
            raise ValueError(f"the reason has {len(reason)} characters, at most {LONGEST_REASON} are kept")
        with self._lock:
            self._keep(row, kind, right, reason.strip())
            return self._progress()

    def undo(self) -> dict[str, Any]:
        """Take back the last decision that stands, and return the progress with the note's name, None if there is none.

        Undoing again takes back the one before.
        """
        with self._lock:
            name = self._last()
            if name is not None:
                self._keep(self._rows[name], Action.UNDO, "", "")
            return {**self._progress(), "undone": name}

    def export(self) -> list[dict[str, Any]]:
        """Return the decisions that stand, in the order of the queue."""
        with self._lock:
            found = self._standing()
        return [found[name].to_dict() for name in self._rows if name in found]

    def _row(self, name: str) -> QueueRow:
        if name not in self._rows:
            raise KeyError(f"there is no note {name!r} in the queue")
        return self._rows[name]

    def _keep(self, row: QueueRow, action: Action, right: str, reason: str) -> None:
        decision = Decision(
            note_id=row.note_id,
            sha256=row.sha256,
            note=row.text,
            given=row.given,
            suggested=row.suggested,
            right=right,
            action=action,
            reviewer=self.reviewer,
            time=now(),
            reason=reason,
            group=row.group,
        )
        append_decision(self._file, decision)
        self._made.append(decision)

    def _standing(self) -> Mapping[str, Decision]:
        return {name: decision for (name, _), decision in standing(self._made).items()}

    def _last(self) -> str | None:
        """Return the note of the last decision that stands."""
        stack: list[str] = []
        for decision in self._made:
            if decision.action is not Action.UNDO:
                stack.append(decision.note_id)
            else:
                place = len(stack) - 1 - stack[::-1].index(decision.note_id)
                del stack[place]
        return stack[-1] if stack else None

    def _progress(self) -> dict[str, Any]:
        found = self._standing()
        order = [{"id": name, "state": found[name].action.value if name in found else ""} for name in self._rows]
        # What was skipped comes again, after the rest.
        waiting = [one["id"] for one in order if not one["state"]]
        waiting += [one["id"] for one in order if one["state"] == Action.SKIP.value]
        done = sum(one["state"] not in ("", Action.SKIP.value) for one in order)
        return {"order": order, "waiting": waiting, "done": done, "total": len(order)}


def _pieces(row: QueueRow) -> list[dict[str, Any]]:
    """Cut the note where evidence begins and ends; offsets of the browser count other units than Python's."""
    marked = [False] * len(row.text)
    for start, end in row.evidence:
        for place in range(max(0, start), min(end, len(marked))):
            marked[place] = True
    pieces: list[dict[str, Any]] = []
    for character, mark in zip(row.text, marked, strict=True):
        if pieces and pieces[-1]["mark"] == mark:
            pieces[-1]["text"] += character
        else:
            pieces.append({"text": character, "mark": mark})
    return pieces
