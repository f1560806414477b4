"""Whether a judge can tell a statement that a shipped digest supports from one that it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from radrag.corpora.shipped import load_evidence
from radrag.evaluation.judge import JudgeFailure
from radrag.metrics import Estimate, bootstrap_statistic, kappa
from radrag.metrics.slices import wilson

BAR = 0.6  # kappa; Landis and Koch, Biometrics 33(1), 1977, call agreement above it substantial

# Of each digest: a statement that it supports, and one that it contradicts or does not make.
CASES: Mapping[str, tuple[str, str]] = {
    "PMID:24391767": (
        "Image quality of the spine was higher on the short-bore scanner than on the open scanner.",
        "Examinations were shorter on the open scanner than on the short-bore scanner.",
    ),
    "PMID:16848911": (
        "Giving atropine early shortened the stress test, with or without beta-blockers.",
        "In patients on beta-blockers, inconclusive tests were more frequent with early atropine.",
    ),
    "PMID:24650002": (
        "Secondary brain herniation was less frequent with intracranial pressure monitoring than without it.",
        "Intracranial pressure monitoring significantly reduced hematoma enlargement.",
    ),
    "PMID:15932638": (
        "Peak CK-MB was much the same with and without the glucose-insulin-potassium infusion.",
        "An ejection fraction of 30% or less was more frequent with the infusion than in controls.",
    ),
    "PMID:1300436": (
        "Creatinine rose within 24 hours in patients given furosemide, but not in those given fluids alone.",
        "Furosemide protected impaired kidneys from the contrast medium.",
    ),
    "PMID:18560792": (
        "Mitral regurgitation was more frequent with pergolide than in patients without Parkinson's disease.",
        "The severity of the valve disease increased with the cumulative dose of pergolide.",
    ),
    "PMID:15737522": (
        "About a quarter of the children given ceftriaxone developed a biliary abnormality.",
        "Fasting around surgery raised the incidence of biliary pseudolithiasis.",
    ),
    "PMID:28642008": (
        "Grade 4 neutropenia was more frequent with twice-daily than with once-daily radiotherapy.",
        "Once-daily radiotherapy gave significantly longer survival than twice-daily radiotherapy.",
    ),
    "PMID:26275779": (
        "One minute after the injection, sulfur colloid caused more pain than tilmanocept.",
        "Tilmanocept found the sentinel node more often than sulfur colloid.",
    ),
    "PMID:29732205": (
        "More men were free of pain with lidocaine than with the diclofenac suppository.",
        "The men were allocated to lidocaine or diclofenac at random.",
    ),
    "PMID:16356219": (
        "Fewer patients had complications with goal-directed therapy than with conventional management.",
        "Goal-directed therapy significantly reduced mortality.",
    ),
    "PMID:28072709": (
        "Total blood loss was lower with tranexamic acid than with saline.",
        "Significantly fewer patients were transfused with tranexamic acid than with saline.",
    ),
    "PMID:22249480": (
        "Intubation took longer through the laryngeal mask than by conventional laryngoscopy.",
        "In the first two minutes, blood pressure was higher with laryngoscopy than with the laryngeal mask.",
    ),
    "PMID:29440010": (
        "Peak creatine kinase was alike with and without morphine.",
        "Major adverse cardiovascular events were significantly more frequent with morphine.",
    ),
    "PMID:29361959": (
        "More energy was delivered with supplemental parenteral nutrition than with usual care.",
        "Supplemental parenteral nutrition shortened the stay in hospital.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JudgeCheck:
    """How far a judge agrees with known good and bad statements.

    Attributes:
        accuracy: Share judged rightly, with Wilson's interval; a failure is not right.
        kappa: Cohen's kappa with the truth, failures being a verdict of their own; the interval is a bootstrap over
            digests. None if the judge failed throughout.
        failures: Statements without a verdict, by kind.
        bar: What kappa must reach.
        passed: Whether kappa reaches the bar and accuracy is above one half with its whole interval.
    """

    accuracy: Estimate
    kappa: Estimate | None
    failures: Mapping[str, int] = field(default_factory=dict)
    bar: float = BAR
    passed: bool = False

    def __str__(self) -> str:
        found = "kappa undefined" if self.kappa is None else f"kappa {self.kappa.value:.2f}"
        interval = "" if self.kappa is None else f" [{self.kappa.low:.2f}, {self.kappa.high:.2f}]"
        lost = ", ".join(f"{kind} {count}" for kind, count in self.failures.items())
        return (
            f"{'passed' if self.passed else 'NOT passed'}: {found}{interval}, accuracy {self.accuracy.value:.2f} "
            f"[{self.accuracy.low:.2f}, {self.accuracy.high:.2f}] on {self.accuracy.n} statements about shipped digests"
            f"{f'; failures: {lost}' if lost else ''}; kappa must reach {self.bar:g}"
        )


def check_judge(supports: Callable[[str, str], bool], *, seed: int = 0, bar: float = BAR) -> JudgeCheck:
    """Ask about statements whose truth is known.

    Args:
        supports: Takes a context and a statement, and says whether the one supports the other; raises ``JudgeFailure``.
        seed: Seed of the resampling.
        bar: What kappa must reach.
    """
    texts = {document.id: document.text for document in load_evidence()}
    truth: list[str] = []
    said: list[str] = []
    groups: list[str] = []
    failures: Counter[str] = Counter()
    for name, pair in CASES.items():
        for statement, wanted in zip(pair, ("yes", "no"), strict=True):
            try:
                verdict = "yes" if supports(texts[name], statement) else "no"
            except JudgeFailure as failure:
                failures[failure.kind] += 1
                verdict = "none"
            truth.append(wanted)
            said.append(verdict)
            groups.append(name)
    right = sum(one == other for one, other in zip(truth, said, strict=True))
    accuracy = wilson(right, len(truth))
    agreement = None
    if set(said) != {"none"}:
        labels = ("no", "none", "yes")
        agreement = bootstrap_statistic(
            (np.asarray(truth), np.asarray(said)),
            lambda one, other: kappa(one.tolist(), other.tolist(), labels),
            groups=groups, seed=seed, n_resamples=1000,
        )  # fmt: skip
    passed = agreement is not None and agreement.value >= bar and accuracy.low > 0.5
    return JudgeCheck(accuracy, agreement, dict(sorted(failures.items())), bar, passed)
