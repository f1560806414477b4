"""The edits that make claims false or reword them, and the fit on them."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from radrag.corpora import load_evidence, load_protocols
from radrag.grounding import AlignmentVerifier, SupportModel
from radrag.grounding.measures import AGAINST, FEATURES, FOR
from radrag.training import claim_edits, verifier
from radrag.training.claim_edits import FALSE_KINDS, TRUE_KINDS, edited_claims, usable_sentences

SENTENCE = "Mortality was lower with metformin 500 mg than with placebo in adults (12% against 19%)."
DOCUMENTS = [
    (
        f"d{n}",
        f"{SENTENCE} In the second year, no patient in group {n} was lost to follow-up at all. The scan found it.",
    )
    for n in range(12)
]


def draws(edit: str, sentence: str = SENTENCE) -> set[str | None]:
    return {getattr(claim_edits, edit)(sentence, random.Random(seed)) for seed in range(60)}


def test_each_edit_changes_what_it_says() -> None:
    assert draws("flip_negation") == {SENTENCE.replace("was lower", "was not lower")}
    assert draws("flip_negation", "No patient died of it.") == {"A patient died of it."}
    assert draws("flip_negation", "It did not help anyone.") == {"It did help anyone."}
    assert draws("flip_direction") == {SENTENCE.replace("lower", "higher")}
    assert draws("swap_population") == {SENTENCE.replace("adults", "children")}
    assert draws("swap_roles") == {
        SENTENCE.replace("metformin", "X").replace("placebo", "metformin").replace("X", "placebo")
    }
    for changed in draws("swap_drug"):
        assert changed is not None
        assert ("metformin" in changed) != ("placebo" in changed)
    numbers = draws("change_number")
    assert SENTENCE not in numbers
    assert SENTENCE.replace("500 mg", "500 g") in numbers
    assert len(numbers) > 8


def test_rewordings_keep_every_number_that_they_keep() -> None:
    made = claim_edits.paraphrase("In the first year, patients received CT more frequently.", random.Random(0))
    assert made == "People were given computed tomography more often in the first year."
    assert claim_edits.paraphrase("Nothing here.", random.Random(0)) is None


def test_claims_are_the_same_for_the_same_seed_and_say_how_they_were_made() -> None:
    claims = list(edited_claims(DOCUMENTS, seed=3, per_document=3))
    assert claims == list(edited_claims(DOCUMENTS, seed=3, per_document=3))
    assert claims != list(edited_claims(DOCUMENTS, seed=4, per_document=3))
    texts = dict(DOCUMENTS)
    for claim in claims:
        assert claim.true == (claim.kind in TRUE_KINDS) == (claim.kind not in FALSE_KINDS)
        assert claim.kind == "source" or (claim.text in texts[claim.document_id]) == (claim.kind == "quote")
    only = list(edited_claims(DOCUMENTS, seed=3, kinds=["number"]))
    assert {claim.kind for claim in only} == {"number"}


def test_questions_headings_and_short_sentences_are_left_out() -> None:
    text = (
        "# Heading one two three four five six seven\n\nIs it so that one asks such a long question? Short one. "
        + SENTENCE
    )
    assert usable_sentences(text) == [SENTENCE]


def test_the_halves_are_fixed_and_disjoint() -> None:
    a, b = ({name for name, _ in verifier.shipped_documents(half)} for half in "AB")
    assert not a & b
    assert len(a | b) == len(load_evidence()) + len(load_protocols())
    assert verifier.document_half("PMID:24341598") == "A"


def test_fit_writes_a_model_with_the_promised_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "shipped_documents", lambda half: DOCUMENTS)
    facts = verifier.fit_verifier(None, tmp_path / "v.json", seed=1)
    assert facts["documents"] == len(DOCUMENTS)
    model = SupportModel.load(tmp_path / "v.json")
    assert all(weight >= 0 for weight in model.weights[: len(FOR)])
    assert all(weight <= 0 for weight in model.weights[len(FOR) :])
    assert json.loads((tmp_path / "v.json").read_text())["facts"]["command"] == "radrag train verifier"
    found = AlignmentVerifier(model=model).verify([SENTENCE, SENTENCE.replace("lower", "higher")], [[SENTENCE]] * 2)
    assert found[0].probability > found[1].probability  # type: ignore[operator]


def test_the_fit_is_the_minimum_of_its_loss() -> None:
    """Moving any weight within its bounds does not lower the penalised loss."""
    draw = np.random.default_rng(0)
    table = draw.random((80, len(FEATURES)))
    true = (table[:, 0] - table[:, len(FOR)] + 0.3 * draw.standard_normal(80) > 0).astype(np.int64)
    share = np.ones(80)
    weights, bias = verifier._fit(table, true, share)
    prior = np.asarray([verifier.PRIOR.get(name, 0.0) for name in FEATURES])

    def loss(values: np.ndarray) -> float:
        margin = (2 * true - 1) * (table @ values + bias)
        return float(np.logaddexp(0, -margin).sum() + verifier.PENALTY * ((values - prior) ** 2).sum() / 2)

    for n in range(len(FEATURES)):
        for step in (-0.05, 0.05):
            moved = weights.copy()
            moved[n] += step
            if (moved[n] >= 0) == (FEATURES[n] not in AGAINST) or moved[n] == 0:
                assert loss(moved) >= loss(weights) - 1e-3
