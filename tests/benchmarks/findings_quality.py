"""Findings: read by rules, learnt on top of them, and two baselines, on Indiana reports and on the hand-written ones.

Indiana: the development reports of Indiana University with the human MeSH codes of 13 findings (Hernia has none),
present against the rest. The rules were written while looking at half A (SHA-256 of the uid even) and are scored on
half B; where anything is learnt, folds are five and reports of the same text stay together. A coder has no "uncertain":
what counts as coded is ``FindingsResult.positive`` (present, or uncertain with "or", "versus", "probable" or
"borderline"), a convention read off half A, where 67 of 81 such findings were coded and 4 of 65 with "may represent",
"possible" and the like. A row with ``present`` alone shows what that is worth, and a row with ``wide=True`` what the
definitions of the shipped set are (a granuloma is a nodule, a scar fibrosis, an opacity an infiltrate), which the
coders do not follow.

Of 50 disagreements of half A, the first in the order of the hash of uid and finding, 14 were the gold's fault (a
pericardial effusion or a breast mass coded as the finding, "no definite pleural effusion" coded as one, "marked bullous
emphysematous changes" or an enlarged silhouette not coded), 20 were conventions or could be read either way
("borderline" and "suggestive of", coded in one report and not in the next; nodular densities), and 16 were the reader's
errors, of which those with a general remedy were then put right.

For comparison medspaCy 1.3.1's ConText with its own rules and sentences, on the spans of the same terms (installed
apart, not part of this script), on half B: micro-F1 .860 and macro-F1 .881; counting what it calls uncertain .848 and
.876.

Hand-written: all 170 shipped reports, five statuses, and the share of the findings with quotes where a span of the
reader overlaps one. The patterns were written while looking at these reports too, so the figure says that they are
covered, not what others would give.

python tests/benchmarks/findings_quality.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from common import arguments, records, report
from numpy.typing import NDArray

import radrag as rr
from radrag.corpora import load_finding_sets, load_reports
from radrag.labelling.findings import FindingReader, join_sections
from radrag.labelling.groups import group_notes, grouped_folds
from radrag.metrics import Estimate, bootstrap, bootstrap_statistic, expected_calibration_error, f1
from radrag.pipelines.findings import FindingsPipeline
from radrag.types import FindingLabel, LabelledReport, Span, Status

FEWEST = 30
NAMES = {id.replace("-", "_").casefold(): id for id in (label.id for label in load_finding_sets()["chest"])}
FINDINGS = [id for id in NAMES.values() if id != "hernia"]
KEYWORDS = {
    **{id: id for id in ("effusion", "mass", "nodule", "pneumonia", "consolidation", "edema", "emphysema", "fibrosis")},
    "atelectasis": "atelecta", "cardiomegaly": "cardiomegaly|enlarged heart|heart is enlarged|cardiac enlargement",
    "infiltration": "infiltrat", "pneumothorax": "pneumothora", "pleural-thickening": "pleural thickening",
}  # fmt: skip
NO = re.compile(r"\b(?:no|not|without|negative|free of|clear of|resolved)\b")
Matrix = NDArray[np.bool_]


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    rows = [row for row in records("iu_xray_dev.jsonl.gz") if _sections(row)]
    rows = rows[:300] if args.quick else rows
    gold = _gold(rows)
    half = np.asarray([_half(row["uid"]) for row in rows])
    texts = [join_sections(_sections(row))[0] for row in rows]
    sure = _folded(texts, gold, _learnt)
    made = _systems(rows, texts, gold, sure)
    for name, part in (("half B, unseen", half == 1), ("half A, seen", half == 0), ("both halves", half >= 0)):
        table = [_summary(system, gold[part], found[part]) for system, found in made.items()]
        report(f"Indiana, {name}: {part.sum()} reports", ["system", "micro-F1", f"macro-F1, n >= {FEWEST}", "findings"],
               table, args)  # fmt: skip
    part = half == 1
    for system in ("rules", "rules and learnt, 5-fold"):
        report(f"Indiana, half B, each finding: {system}", ["finding", "n", "F1", "precision", "recall"],
               _each(gold[part], made[system][part]), args)  # fmt: skip
    _calibration(sure[..., 1], gold, args)
    _hand_written(args)


def _sections(row: Mapping[str, Any]) -> dict[str, str]:
    names = ("indication", "comparison", "findings", "impression")
    found = {name: row[name] for name in names if (row[name] or "").strip()}
    return found if {"findings", "impression"} & set(found) else {}


def _half(uid: str) -> int:
    return int(hashlib.sha256(str(uid).encode()).hexdigest(), 16) % 2


def _gold(rows: Sequence[Mapping[str, Any]]) -> Matrix:
    coded = [
        {NAMES[name.casefold()]: value for name, value in row["labels"].items() if name != "normal"} for row in rows
    ]
    return np.asarray([[bool(one[finding]) for finding in FINDINGS] for one in coded])


def _systems(
    rows: Sequence[Mapping[str, Any]], texts: Sequence[str], gold: Matrix, sure: NDArray[np.float64]
) -> dict[str, Matrix]:
    named, wide = FindingReader("chest"), FindingReader("chest", wide=True)
    results = [named.read(_sections(row)) for row in rows]
    widely = [wide.read(_sections(row)) for row in rows]
    return {
        "rules": _matrix([result.positive for result in results]),
        "rules, only what is stated as present": _matrix([result.present for result in results]),
        "rules, wide": _matrix([result.positive for result in widely]),
        "rules and learnt, 5-fold": sure[..., 0] >= 0.5,
        "keywords and negation": _matrix([_keywords(row) for row in rows]),
        "TF-IDF and logistic regression, 5-fold": _folded(texts, gold, _tfidf)[..., 0] >= 0.5,
    }


def _matrix(found: Sequence[Sequence[str]]) -> Matrix:
    return np.asarray([[finding in one for finding in FINDINGS] for one in found])


def _keywords(row: Mapping[str, Any]) -> list[str]:
    """The fifteen lines: a keyword in a sentence with no negation before it."""
    found = set()
    for sentence in re.split(r"(?<=[.;])\s+", f"{row['findings'] or ''} {row['impression'] or ''}".lower()):
        for finding, pattern in KEYWORDS.items():
            match = re.search(pattern, sentence)
            if match and not NO.search(sentence[: match.start()]):
                found.add(finding)
    return sorted(found)


def _folded(texts: Sequence[str], gold: Matrix, predict: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
    groups = group_notes([rr.LabelledNote(text, "") for text in texts])
    folds = grouped_folds(groups, gold.any(axis=1).astype(np.int64), seed=1)
    found = np.zeros((*gold.shape, 2))
    for fold in range(5):
        rest, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        found[held] = predict([texts[row] for row in rest], gold[rest], [texts[row] for row in held])
    return found


def _learnt(texts: Sequence[str], gold: Matrix, asked: Sequence[str]) -> NDArray[np.float64]:
    """Return ``[reports, findings, 2]``: 1 where the fitted pipeline says present, and its probability or nan."""
    results = FindingsPipeline().fit(_labelled(texts, gold)).batch(asked)
    sure = [[result[finding].probability for finding in FINDINGS] for result in results]
    found = _matrix([result.positive for result in results]).astype(float)
    return np.stack([found, np.asarray(sure, dtype=float)], axis=2)


def _labelled(texts: Sequence[str], gold: Matrix) -> list[LabelledReport]:
    made = []
    for place, (text, row) in enumerate(zip(texts, gold, strict=True)):
        status = {
            finding: Status.PRESENT if value else Status.NOT_MENTIONED
            for finding, value in zip(FINDINGS, row, strict=True)
        }
        labels = tuple(FindingLabel(id, status.get(id, Status.NOT_MENTIONED)) for id in NAMES.values())
        made.append(LabelledReport(str(place), text, (), "chest", labels))
    return made


def _tfidf(texts: Sequence[str], gold: Matrix, asked: Sequence[str]) -> NDArray[np.float64]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    maker = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    known, rows = maker.fit_transform(texts), maker.transform(asked)
    found = np.zeros((len(asked), gold.shape[1], 1))
    for column in range(gold.shape[1]):
        if gold[:, column].any():
            model = LogisticRegression(C=10.0, max_iter=1000).fit(known, gold[:, column])
            found[:, column, 0] = model.predict_proba(rows)[:, 1]
    return found


def _counts(gold: Matrix, found: Matrix) -> tuple[NDArray[np.int64], ...]:
    return (gold & found).sum(axis=0), (~gold & found).sum(axis=0), (gold & ~found).sum(axis=0)


def _micro(gold: Matrix, found: Matrix) -> float:
    right, extra, missed = (int(part.sum()) for part in _counts(gold, found))
    total = 2 * right + extra + missed
    return 2 * right / total if total else float("nan")


def _macro(gold: Matrix, found: Matrix, columns: NDArray[np.int64]) -> float:
    right, extra, missed = (part[columns] for part in _counts(gold, found))
    return float(np.mean(2 * right / np.maximum(2 * right + extra + missed, 1)))


def _summary(system: str, gold: Matrix, found: Matrix) -> list[Any]:
    columns = np.flatnonzero(gold.sum(axis=0) >= FEWEST)
    micro = bootstrap_statistic((gold, found), _micro, seed=0, n_resamples=1000)
    if not len(columns):
        return [system, micro, "none", ""]
    macro: Estimate = bootstrap_statistic((gold, found), lambda a, b: _macro(a, b, columns), seed=0, n_resamples=1000)
    return [system, micro, macro, ", ".join(FINDINGS[column] for column in columns)]


def _each(gold: Matrix, found: Matrix) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for column, finding in enumerate(FINDINGS):
        true, said = gold[:, [column]], found[:, [column]]
        right, extra, missed = (int(part.sum()) for part in _counts(true, said))
        whole = bootstrap_statistic((true, said), _micro, seed=0, n_resamples=1000) if right else 0.0
        rows.append([finding, right + missed, whole, right / max(right + extra, 1), right / max(right + missed, 1)])
    return rows


def _calibration(sure: NDArray[np.float64], gold: Matrix, args: argparse.Namespace) -> None:
    """Report the calibration of the probabilities; reports are resampled, each with all its findings."""
    row, column = np.nonzero(~np.isnan(sure))
    if not len(row):
        return
    confidence, true = sure[row, column], gold[row, column]
    error = bootstrap_statistic((confidence, true), expected_calibration_error, seed=0, n_resamples=200, groups=row)
    report("Indiana, probabilities of the learnt findings, 5-fold", ["reports and findings", "ECE, 15 bins"],
           [[len(true), error]], args)  # fmt: skip


def _hand_written(args: argparse.Namespace) -> None:
    reports = load_reports()
    rows = []
    for wide in (False, True):
        readers = {name: FindingReader(name, wide=wide) for name in load_finding_sets()}
        true, said, overlaps, characters = [], [], [], []
        for one in reports:
            for gold, label in zip(one.findings, readers[one.finding_set].read(one.text).findings, strict=True):
                true.append(str(gold.status))
                said.append(str(label.status))
                if gold.spans:
                    overlaps.append(_overlap(gold.spans, label.spans))
                    characters.append(_characters(gold.spans, label.spans))
        macro = bootstrap_statistic((np.asarray(true), np.asarray(said)), _statuses, seed=0, n_resamples=500)
        name = "the set's definitions (wide)" if wide else "where named (default)"
        rows.append(
            [name, macro, bootstrap(np.asarray(overlaps, float), seed=0), bootstrap(np.asarray(characters), seed=0)]
        )
        each = f1(true, said, labels=[str(status) for status in Status], average=None)
        report(f"Hand-written reports, each status: {name}", ["status", "n", "F1"],
               [[status, true.count(status), value] for status, value in each.items()], args)  # fmt: skip
    report(f"Hand-written reports: {len(reports)}", ["rules", "status macro-F1", "span overlaps", "F1 of characters"],
           rows, args)  # fmt: skip


def _statuses(true: NDArray[np.str_], said: NDArray[np.str_]) -> float:
    labels = [str(status) for status in Status]
    return float(f1(true.tolist(), said.tolist(), labels=labels, average="macro", zero_division=0.0))


def _overlap(gold: Sequence[Span], found: Sequence[Span]) -> bool:
    return any(a.start < b.end and b.start < a.end for a in gold for b in found)


def _characters(gold: Sequence[Span], found: Sequence[Span]) -> float:
    true = {place for span in gold for place in range(span.start, span.end)}
    said = {place for span in found for place in range(span.start, span.end)}
    return 2 * len(true & said) / (len(true) + len(said))


if __name__ == "__main__":
    main()
