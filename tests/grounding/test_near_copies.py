"""Claims a word or two away from their source: few false ones pass, most true ones do."""

import json
from pathlib import Path

import pytest

from radrag.grounding import AlignmentVerifier
from radrag.grounding.numbers import quantities
from radrag.grounding.polarity import added_significance, exchanged, opposite_words

PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "near_copies.jsonl").read_text(encoding="utf-8").splitlines()
]
verifier = AlignmentVerifier()


def called(true: bool) -> list[str]:
    chosen = [pair for pair in PAIRS if pair["true"] is true]
    found = verifier.verify([pair["claim"] for pair in chosen], [[pair["source"]] for pair in chosen])
    return [pair["claim"] for pair, one in zip(chosen, found, strict=True) if one.verdict == "supported"]


def test_few_false_near_copies_are_supported_and_most_true_ones_are() -> None:
    false, true = called(False), called(True)
    assert len(PAIRS) > 440
    assert len(false) <= 12, false
    assert len(true) >= 34, true


def test_every_source_supports_itself() -> None:
    for source in {pair["source"] for pair in PAIRS if pair["source"].count(".") == 1 and "\n" not in pair["source"]}:
        if source.endswith(".") and not source.startswith("No. "):
            assert verifier.verify([source], [[source]])[0].verdict == "supported", source


@pytest.mark.parametrize(
    ("claim", "source", "says"),
    [  # in words other than those of the list
        ("Fibrinolysis is given.", "Fibrinolysis is given only if angioplasty is delayed.", "only"),
        ("Doses were halved in renal failure.", "Unless dialysed, doses were halved in renal failure.", "Unless"),
        ("Lamotrigine reduced seizures.", "In rats, lamotrigine reduced seizures.", "In rats"),
        ("Cysts were resected after drainage.", "Cysts were resected before drainage.", "opposite"),
        ("Doxycycline was given after meals.", "Doxycycline was given every day after meals.", "day"),
        ("Vitamin B deficiency caused neuropathy.", "Vitamin E deficiency caused neuropathy.", "“B”"),
        ("Nodules of 12 mm were followed.", "Nodules of 5 to 12 mm were followed.", "12 mm"),
        ("Arm B got cisplatin.", "Arm A got cisplatin and arm B got docetaxel.", "apart"),
        ("Arm B received cisplatin.", "Arm A received cisplatin; arm B received docetaxel.", "apart"),
        ("Fever lasted 3 days in adults.", "Fever lasted at least 3 days in adults.", "bound"),
        ("Zinc shortens colds in adults.", "Does zinc shorten colds in adults?", "asks"),
        ("Dexamethasone, insulin: use.", "Do not use: dexamethasone, insulin.", "negated"),
    ],
)  # fmt: skip
def test_a_changed_limit_is_named(claim: str, source: str, says: str) -> None:
    (found,) = verifier.verify([claim], [[source]])
    assert found.verdict != "supported"
    assert any(says in said for said in found.objections), found.objections


@pytest.mark.parametrize("text", ["1", "Yes.", "12%.", "Zinc.", "Does zinc cure colds in adults?"])
def test_what_states_nothing_is_not_supported_by_itself(text: str) -> None:
    assert verifier.verify([text], [[text]])[0].verdict != "supported"


def test_a_source_that_says_otherwise_is_told() -> None:
    said, unsaid = (f"Aspirin {verb} mortality in men with angina." for verb in ("reduced", "did not reduce"))
    for passages in ([said, unsaid], [unsaid, said]):
        (found,) = verifier.verify([said], [passages])
        assert found.verdict == "partly"
        assert passages[found.passage or 0] == said
        assert any("otherwise" in one for one in found.objections)
    (found,) = verifier.verify([said], [[said, "Penguins swim in cold water."]])
    assert (found.verdict, found.objections) == ("supported", ())


def test_a_minus_is_kept_where_it_is_a_sign() -> None:
    values = [one.value for one in quantities("was -30 HU and −2.3% (-5 to -1), 5-10 mg, 18 -65, IL-6")]
    assert values == [-30, -2.3, -5, -1, 0.005, 0.01, 18, 65]


def test_opposites_by_prefix_and_words_that_change_places() -> None:
    assert opposite_words("It was unstable.", "It was stable.")
    assert opposite_words("Non-survivors were older.", "Survivors were older.")
    assert not opposite_words("It was stable and unstable.", "It was stable and unstable.")
    assert exchanged("from losartan to enalapril", "from enalapril to losartan") is not None
    assert exchanged("enalapril and losartan", "losartan and enalapril") is None
    assert added_significance("It was significantly lower.", "It was lower (p = 0.12).")
    assert not added_significance("It was significantly lower.", "It was lower (p = 0.012).")
