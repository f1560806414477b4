"""What a comparison found: figures with their tests, parts of the data, controls, cost and every case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from radrag.metrics import Estimate, McNemar, ReliabilityBin
from radrag.metrics.selective import RiskCoverage

LEVEL = "no difference shown"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both sides.

    Attributes:
        metric: What was measured.
        system: The system's figure, with its interval and n.
        baseline: The baseline's, on the same items.
        difference: System less baseline, from paired resamples.
        test: The four counts of McNemar's test, for figures that are right or wrong item by item. Its p holds for items
            that stand alone; ``p_value`` is the one to report.
        higher_is_better: Whether more is better.
        p_value: Two-sided; None if nothing was tested.
        adjusted: The same after Holm's correction over all rows of its table.
        tested_by: Name of the test behind ``p_value``.
    """

    metric: str
    system: Estimate
    baseline: Estimate
    difference: Estimate
    test: McNemar | None = None
    higher_is_better: bool = True
    p_value: float | None = None
    adjusted: float | None = None
    tested_by: str = ""

    def verdict(self, level: float = 0.05) -> str:
        """Say by interval and corrected p together what the difference shows.

        Returns:
            ``"better"`` or ``"worse"``; where the interval leaves out 0 but the corrected p does not pass, that with
            ``" before correction, not after it"`` or (if p does not pass either) ``" by its interval, not by its
            test"``; else ``"no difference shown"``.
        """
        low, high = self.difference.low, self.difference.high
        if low <= 0 <= high:
            return LEVEL
        way = "better" if (low > 0) == self.higher_is_better else "worse"
        if self.adjusted is None or self.adjusted <= level:
            return way
        passed = self.p_value is not None and self.p_value <= level
        return f"{way} before correction, not after it" if passed else f"{way} by its interval, not by its test"


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One figure on one part of the data.

    Attributes:
        metric: What was measured.
        attribute: What the data was parted by, such as ``"sex"``.
        name: The part.
        n: Items of it.
        system: The system's figure; None where a single item bounds nothing.
        baseline: The baseline's.
        difference: System less baseline, paired; None with fewer than 2 items or groups.
        rest: The system's figure on all other items; None if there are none.
        p_value: Of the system on this part against the rest; None if it was not tested.
        adjusted: The same after Holm's correction over all parts and figures.
        small: Whether there are too few items to say much; small parts are shown and not tested.
    """

    metric: str
    attribute: str
    name: str
    n: int
    system: Estimate | None
    baseline: Estimate | None
    difference: Estimate | None
    rest: float | None
    p_value: float | None
    adjusted: float | None
    small: bool


@dataclass(frozen=True, slots=True)
class Reliability:
    """The probability that one side stated for its verdicts or labels, against how often they were right.

    Attributes:
        side: Whose.
        bins: Stated probability and accuracy in bins of equal width.
        error: Expected calibration error.
    """

    side: str
    bins: tuple[ReliabilityBin, ...]
    error: Estimate


@dataclass(frozen=True, slots=True)
class Risk:
    """How often one side is wrong if only the items count on which its score is highest.

    Attributes:
        side: Whose.
        points: Share kept, and the share of that which is wrong, with an interval.
        aurc: Area under the curve; low is good.
        n: Items.
        kind: What the score is, as ``Said.confidence_kind``; "" in reports made before it was kept.
    """

    side: str
    points: tuple[RiskCoverage, ...]
    aurc: float
    n: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Share of questions with a gold source among the first k passages."""

    k: int
    share: Estimate


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of a variant of the system, and how far it is from the system's.

    Attributes:
        metric: What was measured.
        value: The variant's figure.
        difference: Variant less system, paired.
        p_value: Two-sided.
        adjusted: After Holm's correction over all cells of all variants.
        higher_is_better: Whether more is better.
    """

    metric: str
    value: Estimate
    difference: Estimate
    p_value: float
    adjusted: float
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Ablation:
    """The system with one part changed, on the same items.

    Attributes:
        name: What was changed, such as ``"BM25 only"``.
        cells: Its figures.
        k: Passages that were retrieved, for variants that differ in that alone.
    """

    name: str
    cells: tuple[Cell, ...]
    k: int | None = None


@dataclass(frozen=True, slots=True)
class LeakControl:
    """The system again, with each question's own source out of its reach.

    Attributes:
        rows: The system without own sources (as system) against the baseline.
        questions: Questions with a source that could be removed.
        reached: How many of them had the source among their passages before.
        declined: How many the system declines to answer now; it had declined ``declined_before``.
        declined_before: How many it declined with everything in reach.
    """

    rows: tuple[Row, ...]
    questions: int
    reached: int
    declined: int = 0
    declined_before: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over repeats with other seeds.

    Attributes:
        metric: What was measured.
        system: The system's figure of each repeat.
        baseline: The baseline's.
    """

    metric: str
    system: tuple[float, ...]
    baseline: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Repeats:
    """Sampled outputs over several seeds.

    Attributes:
        seeds: One a repeat; the first is that of the tables.
        spread: Every figure over the repeats.
        changed_system: Items on which the system's output was not the same in all repeats.
        changed_baseline: The same of the baseline.
    """

    seeds: tuple[int, ...]
    spread: tuple[Spread, ...]
    changed_system: int
    changed_baseline: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What one side took.

    Attributes:
        side: Whose.
        seconds: Wall-clock time of all items.
        items: Items.
        prompt_tokens: Tokens that a generator read; None if there is none, or it does not say.
        new_tokens: Tokens that it wrote.
        peak_bytes: Most memory that the process held while this side ran, models and indexes included; 0 if unknown.
        own_peak: Whether ``peak_bytes`` is of this run alone; else it is of the process since it began.
        gpu_bytes: Most GPU memory that torch held while this side ran; 0 without CUDA.
    """

    side: str
    seconds: float
    items: int
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    peak_bytes: int = 0
    own_peak: bool = False
    gpu_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that went wrong or was left out, and how often on each side."""

    what: str
    system: int
    baseline: int


@dataclass(frozen=True, slots=True)
class Source:
    """A cited source with the quote in its surroundings.

    Attributes:
        key: Number in the answer.
        document_id: Which document.
        title: Its title.
        url: Where to read it, or "".
        before: Text before the quote.
        quote: The exact characters cited.
        after: Text after it.
        flags: What was published against the document.
    """

    key: int
    document_id: str
    title: str
    url: str
    before: str
    quote: str
    after: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What one side said of an item.

    Attributes:
        text: Its words.
        verdict: Yes, no or maybe, or the label; "" if there is none.
        abstained: Whether it gave no answer.
        reason: Why.
        confidence: Its score, of the kind below; None if it has none. It is not the probability of a verdict.
        right: Whether it was right; None if that is not known.
        scores: Every figure of this item.
        sources: What it cited.
        notes: What its sources are known to disagree on, then its warnings.
        headline: Its verdict with the probability, or its value, as an answer prints it; "" if it has neither.
        confidence_kind: What ``confidence`` is: an answer's ``"evidence score"``, a label's ``"probability"`` or
            ``"uncalibrated score"``; "" in reports made before it was kept.
    """

    text: str
    verdict: str = ""
    abstained: bool = False
    reason: str = ""
    confidence: float | None = None
    right: bool | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    headline: str = ""
    confidence_kind: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One item with what both sides said.

    Attributes:
        id: Name of the item.
        text: The question or note; "" if texts were left out.
        expected: What would be right; "" likewise.
        group: Items of one group were drawn together; "" if it stands alone.
        system: What the system said.
        baseline: What the baseline said.
        basis: What being right means here: the gold ``"label"`` or ``"verdict"``, citing a gold ``"source"``, or
            ``"abstention"``; "" if it is not known.
    """

    id: str
    text: str
    expected: str
    group: str
    system: Said
    baseline: Said
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table made elsewhere (a judge's scores, a benchmark's own), shown in the same report.

    Attributes:
        title: Its heading.
        columns: Names of the columns.
        rows: Cells as they are to be shown.
        note: A sentence beneath the heading.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
