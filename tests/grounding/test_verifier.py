"""The verifier that ships, and the loading of its model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from radrag.errors import ModelError
from radrag.grounding import AlignmentVerifier, SupportModel, ground
from radrag.grounding.measures import AGAINST, FEATURES, FOR
from radrag.grounding.verifier import OTHERWISE
from radrag.types import SUPPORT_VERDICTS, Document, Draft, DraftClaim, Hit, Passage

TEXT = (
    "We randomised 240 adults with type 2 diabetes to metformin 500 mg or placebo for 12 months. "
    "Mortality was lower with metformin (12%) than with placebo (19%). "
    "Weight did not differ between the groups. Nausea was more frequent with metformin (p < 0.05). "
    "Computed tomography was not used. The authors suggest that metformin may protect the kidney. "
    "Women responded as men did."
)
verifier = AlignmentVerifier()


def check(claim: str, text: str = TEXT) -> str:
    return verifier.verify([claim], [[text]])[0].verdict


@pytest.mark.parametrize(
    "claim",
    [
        "Mortality was lower with metformin (12%) than with placebo (19%).",
        "Metformin 0.5 g was compared with placebo over one year.",
        "Body weight was similar in the groups.",
        "Nausea was commoner with metformin.",
        "Metformin may protect the kidney.",
        "Computed tomography (CT) was not used.",
        "Two hundred and forty adults with type 2 diabetes were randomised.",
    ],
)
def test_true_claims_pass(claim: str) -> None:
    assert check(claim) == "supported"


@pytest.mark.parametrize(
    "claim",
    [
        "Mortality was higher with metformin (12%) than with placebo (19%).",
        "Mortality was lower with placebo (12%) than with metformin (19%).",
        "Mortality was lower with metformin (2%) than with placebo (19%).",
        "Mortality was not lower with metformin (12%) than with placebo (19%).",
        "Mortality was lower with aspirin (12%) than with placebo (19%).",
        "We randomised 240 children with type 2 diabetes to metformin 500 mg or placebo for 12 months.",
        "We randomised 240 adults with type 1 diabetes to metformin 500 mg or placebo for 12 months.",
        "We randomised 240 adults with type 2 diabetes to metformin 500 g or placebo for 12 months.",
        "We randomised 240 adults with type 2 diabetes to metformin 500 mg or placebo for 12 weeks.",
        "Nausea was more frequent with metformin (p > 0.05).",
        "Weight differed between the groups.",
        "Computed tomography was used.",
        "Penguins swim in cold water.",
    ],
)
def test_false_claims_are_caught_with_a_reason(claim: str) -> None:
    (found,) = verifier.verify([claim], [[TEXT]])
    assert found.verdict in SUPPORT_VERDICTS[1:]
    assert found.objections
    assert found.probability is not None
    assert 0 <= found.probability < verifier._fitted.threshold


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("Aspirin reduced stroke in women.", "It is unclear whether aspirin reduced stroke in women."),
        ("Zinc shortens pneumonia in infants.", "To see whether zinc shortens pneumonia in infants, we did a trial."),
        ("Coffee causes pancreatic cancer in men.", "Coffee was associated with pancreatic cancer in men."),
        ("Metformin protects the kidney of adults.", "Metformin may protect the kidney of adults."),
        ("Metformin is proven to protect the kidney of adults.", "Metformin may protect the kidney of adults."),
        ("In patients", "In patients with stones CT was done."),
        ("The median survival", "The median survival was nine months."),
    ],
)  # fmt: skip
def test_what_a_source_asks_supposes_or_begins_supports_nothing(claim: str, text: str) -> None:
    (found,) = verifier.verify([claim], [[text]])
    assert found.verdict != "supported"
    assert found.objections


def test_an_aim_supports_a_claim_about_the_aim() -> None:
    aim = "To determine whether zinc shortens pneumonia in children, we did a trial in Dhaka."
    assert (
        check("A trial in Dhaka was done to determine whether zinc shortens pneumonia in children.", aim) == "supported"
    )


def test_a_contradiction_is_told_from_silence() -> None:
    assert check("Mortality was higher with metformin (12%) than with placebo (19%).") == "contradicted"
    assert check("Penguins swim in cold water.") == "unsupported"


def test_the_stretch_is_where_the_claim_stands() -> None:
    (found,) = verifier.verify(["Nausea was commoner with metformin."], [["Nothing.", TEXT]])
    assert found.passage == 1
    assert TEXT[found.start : found.end] == "Nausea was more frequent with metformin (p < 0.05)."


@pytest.mark.parametrize("texts", [[], [""], ["   "], ["###"]])
def test_without_text_nothing_is_supported(texts: list[str]) -> None:
    (found,) = verifier.verify(["Metformin works."], [texts])
    assert (found.verdict, found.probability) == ("unsupported", 0.0)
    assert verifier.verify([], []) == []


def test_claims_and_passages_must_match() -> None:
    with pytest.raises(ValueError, match="shorter"):
        verifier.verify(["a", "b"], [["c"]])


def test_the_model_has_the_signs_its_names_promise() -> None:
    model = SupportModel.load()
    assert FEATURES == FOR + AGAINST
    assert all(weight >= 0 for weight in model.weights[: len(FOR)])
    assert all(weight <= 0 for weight in model.weights[len(FOR) :])
    nothing, everything = (0.0,) * len(FEATURES), (1.0,) * len(FOR) + (0.0,) * len(AGAINST)
    assert model(nothing, 1.0) < 0.2
    assert model(everything, 1.0) > 0.9
    assert model(nothing, 0.0) == 0
    assert model(everything, 0.0) == model.free
    assert model(everything, 0.5) == pytest.approx((model(everything, 1.0) + model.free) / 2)
    assert {"data", "claims", "seed", "command"} <= set(model.facts)


@pytest.mark.parametrize(
    ("claim", "order"),
    [  # words that stand in the source in the same order, by hand; then (share - 0.4) / 0.3, from 0 to 1
        ("Mortality was lower with metformin than with placebo.", 1.0),  # 4 of 4
        ("Nausea and mortality were lower with metformin after surgery.", (3 / 5 - 0.4) / 0.3),
        ("Placebo lowered death against metformin.", 0.0),  # 2 of 5: death, metformin
        ("Metformin lowered mortality.", 0.0),  # 1 of 3
    ],
)
def test_order_is_the_share_of_words_in_the_order_of_the_source(claim: str, order: float) -> None:
    found = verifier.measured(claim, TEXT)
    assert found is not None
    assert found.order == pytest.approx(order)


@pytest.mark.parametrize(
    "claim",
    [  # the first is true, the second false; their words tell neither
        "Of those given metformin, roughly one in eight had died after a year, fewer than on sham tablets.",
        "Of those given sham tablets, roughly one in eight had died after a year, fewer than on metformin.",
    ],
)
def test_a_claim_in_words_of_its_own_is_neither_supported_nor_contradicted(claim: str) -> None:
    (found,) = verifier.verify([claim], [[TEXT]])
    assert found.verdict in ("partly", "unsupported")
    assert found.probability is not None
    assert found.probability <= 0.5
    assert any("too freely" in said for said in found.objections)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"features": ["a"], "weights": [1], "bias": 0, "threshold": 1, "facts": {}}']
)
def test_unusable_model_file_says_how_to_make_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(ModelError, match="radrag train verifier"):
        SupportModel.load(tmp_path / "v.json")
    with pytest.raises(ModelError, match="radrag train verifier"):
        SupportModel.load(tmp_path / "none.json")


def hit(text: str = TEXT, **metadata: object) -> Hit:
    return Hit(Passage("d", 0, len(text), text, (), "T", 1, dict(metadata)), 1.0)


def test_an_altered_quote_is_shown_with_the_true_words() -> None:
    stated = 'The abstract says "mortality was much lower with metformin".'
    draft = Draft((DraftClaim(stated, (1,)),))
    (claim,) = ground(draft, [hit()], {"d": Document("d", TEXT)}.__getitem__).claims
    assert not claim.supported
    (quote,) = claim.altered
    assert quote.text == "mortality was much lower with metformin"
    assert quote.found == "Mortality was lower with metformin"
    assert quote.citation is not None
    assert TEXT[quote.citation.start : quote.citation.end] == quote.found
    assert claim.citations == ()
    good = replace(draft.claims[0], text='The abstract says "Mortality was lower with metformin".')
    (claim,) = ground(Draft((good,)), [hit()], {"d": Document("d", TEXT)}.__getitem__).claims
    assert claim.altered == ()


def test_a_retracted_source_gives_no_quote_and_no_support() -> None:
    draft = Draft((DraftClaim('It says "Weight did not differ between the groups".', (1,)),))
    (claim,) = ground(draft, [hit(retracted=True)], {"d": Document("d", TEXT)}.__getitem__).claims
    assert (claim.supported, claim.citations, claim.verdict) == (False, (), "unsupported")
    assert claim.altered[0].citation is None
    flagged = replace(hit(), passage=replace(hit().passage, flags=("retracted",)))
    plain = Draft((DraftClaim("Weight did not differ between the groups.", (1,)),))
    (claim,) = ground(plain, [flagged], {"d": Document("d", TEXT)}.__getitem__).claims
    assert (claim.supported, claim.citations) == (False, ())


def test_stored_model_is_the_one_described() -> None:
    stored = json.loads((Path(__file__).parents[2] / "radrag" / "assets" / "verifier.json").read_text())
    assert stored["features"] == list(FEATURES)


def test_a_claim_that_one_of_its_sources_contradicts_is_partly_supported_at_most() -> None:
    texts = {"a": "Zinc shortened pneumonia in children.", "b": "Zinc did not shorten pneumonia in children."}
    hits = [Hit(Passage(name, 0, len(text), text, (), "T", 1, {}), 1.0) for name, text in texts.items()]
    documents = {name: Document(name, text) for name, text in texts.items()}
    both, one = (
        ground(Draft((DraftClaim(texts["a"], keys),)), hits, documents.__getitem__).claims[0] for keys in ((1, 2), (1,))
    )
    assert (both.supported, both.verdict) == (False, "partly")
    assert OTHERWISE in both.objections
    assert (one.supported, one.verdict) == (True, "supported")
