"""A queue of made notes to review."""

from __future__ import annotations

from radrag.labelling import LabelSet
from radrag.labelling.loop import Queue, known_labels, review_queue
from radrag.types import Citation, Label, LabelledNote, LabelResult, Span

LABELS = LabelSet(
    [
        Label("ct-head", "CT head without contrast", "Unenhanced CT of the brain for bleeding.", ("NCCT head",)),
        Label("ct-stone", "CT for urinary stone", "Low-dose CT for renal colic.", ("CT KUB",)),
        Label("mr-brain", "MR brain", "MR of the brain with and without contrast.", ("MRI brain",)),
        Label("us-leg", "Ultrasound of leg veins", "Compression ultrasound for a clot.", ("DVT scan",)),
        Label("xr-chest", "Chest radiograph", "Two views of the chest.", ("CXR",)),
    ]
)
ATTACK = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
NOTES = [
    LabelledNote("😀 Notes: ?renal colic, left flank pain", "ct-head", "n1"),
    LabelledNote(f"Swollen calf {ATTACK} & pain", "us-leg", "n2"),
    LabelledNote("Worst headache of life, sudden", "mr-brain", "n3"),
]


def result(note: LabelledNote, label: str, words: str, rivals: dict[str, float]) -> LabelResult:
    start = note.text.index(words)
    quote = f"Use {label} {ATTACK}" if note.id == "n2" else f"{LABELS[label].name} is used for {words}."
    cited = Citation(1, label, 1, 0, len(quote), quote, LABELS[label].name, (LABELS[label].name, "Indications"))
    ranking = tuple(sorted(rivals.items(), key=lambda pair: -pair[1]))
    spans = (Span(start, start + len(words), words),)
    return LabelResult(note.text, label, ranking[0][1], ranking, (label,), spans, (cited,), True)


RESULTS = [
    result(NOTES[0], "ct-stone", "renal colic", {"ct-stone": 0.9, "ct-head": 0.06, "us-leg": 0.04}),
    result(NOTES[1], "us-leg", "calf", {"us-leg": 0.8, "ct-stone": 0.15, "ct-head": 0.05}),
    result(NOTES[2], "ct-head", "headache", {"ct-head": 0.5, "mr-brain": 0.45, "ct-stone": 0.05}),
]


def made_queue() -> Queue:
    return Queue(review_queue(NOTES, RESULTS), known_labels(LABELS), "made")
