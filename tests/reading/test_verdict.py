import json
from pathlib import Path

import numpy as np
import pytest

from radrag.errors import ModelError
from radrag.indexes.tokens import tokenize
from radrag.reading.cues import SENTENCE_FEATURES, denied_share, question_cues, says_opposite, sentence_cues
from radrag.reading.sentence_model import Rarity, SentenceModel
from radrag.reading.sentences import Sentence
from radrag.reading.verdict import (
    NEARNESS,
    WIDTH,
    VerdictModel,
    features,
    is_yes_no,
    models_fingerprint,
    relevant,
)
from radrag.types import VERDICTS

RARITY = Rarity(99, {"stone": 9, "harm": 30})


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is CT better than MRI?", True),
        ("Is it A or B that matters?", True),
        ("Is MR or CT preferred in pregnancy for an adrenal nodule?", False),
        ("Is ultrasound or CT the first test in children with flank pain?", False),
        ("Should ultrasound or CT be used first?", False),
        ("Should CT or MRI be used for stones?", False),
        ("Should I order CT or MRI?", False),
        ("Suspected stone: do we book an ultrasound, a CT or both?", False),
        ("Should CT be done with or without contrast?", False),
        ("Is CT with or without contrast better for stones?", False),
        ("Is CT or MRI more sensitive for stones?", False),
        ("Is low-dose CT or ultrasound the right choice?", False),
        ("Is CT or MRI the modality of choice?", False),
        ("Is CT or MRI first-line for stones?", False),
        ("Is it safer to do CT or MRI?", False),
        ("Does CT or MRI work better?", False),
        ("CT or MRI for stones?", False),
        ("CT versus MRI for stones?", False),
        ("Can you list the causes of stones?", False),
        ("Could you please explain CT urography?", False),
        ("Can you name three causes?", False),
        ("Can you tell me whether CT is safe?", True),
        ("Can you predict recurrence of stones?", True),
        ("Does aspirin or clopidogrel reduce stroke?", True),
        ("Is CT or MRI better than ultrasound?", True),
        ("Is CT or MRI superior to ultrasound?", True),
        ("Is CT better than ultrasound or MRI?", True),
        ("Is CT preferred or not?", True),
        ("Is MR or CT preferred, yes or no?", True),
        ("Is a dose of 5 mg or more preferred?", True),
        ("Is CT in patients with asthma or allergy safer?", True),
        ("Should patients with or without diabetes be screened?", True),
        ("Should patients with asthma or allergy be premedicated?", True),
        ("Is contrast safe in asthma or allergy?", True),
        ("Is CT with or without contrast useful for stones?", True),
        ("Does CT or MRI lead to better outcomes?", True),
        ("Does rural or urban residence make a difference?", True),
        ("Statins in the elderly: friend or foe?", True),
        ("Are low dose scans safe in pregnancy?", True),
        ("Does contrast harm the kidney?", True),
        ("does contrast harm the kidney?", True),
        ("Do mitochondria play a role in programmed cell death?", True),
        ("Can tailored interventions increase mammography use?", True),
        ("Should all patients be screened?", True),
        ("Has the incidence changed since 2000?", True),
        ("Isn't ultrasound enough for stones?", True),
        ("MRI in appendicitis: is it useful?", True),
        ("Landolt C and snellen e acuity: differences in strabismus amblyopia?", True),
        ("Syncope during bathing in infants, is it a pediatric form of water-induced urticaria?", True),
        ("Chest CT after trauma - does it change management?", True),
        ("Therapeutic anticoagulation in trauma patients: is it safe?", True),
        ("Is CT, which uses radiation, safe in children?", True),
        ("What is the dose of a chest CT?", False),
        ("Which protocol is used for renal stones?", False),
        ("Which patients, if any, are at risk?", False),
        ("When should contrast be given?", False),
        ("Who should be screened?", False),
        ("Where does the tracer collect?", False),
        ("Why do stones form?", False),
        ("How is CT urography done?", False),
        ("How long should a patient fast, and is water allowed?", False),
        ("To what extent does motion degrade images?", False),
        ("A woman, aged 60, has pleuritic chest pain. What is the next step?", False),
        ("A man has flank pain, is febrile. Which scan comes first?", False),
        ("Name the protocol for renal stones.", False),
        ("Rotator cuff tear: an occupational disease?", True),
        ("Rotator cuff tear is due to what?", False),
        ("List the causes of rotator cuff tears?", False),
        ("Tocilizumab is an anti-TNF antibody, yes or no?", True),
        ("Tocilizumab is an anti-TNF antibody, yes  or no", True),
        ("Tocilizumab?", False),
        ("Is?", False),
        ("", False),
    ],
)
def test_questions_that_ask_for_yes_or_no(question: str, expected: bool) -> None:
    assert is_yes_no(question) is expected


def test_line_breaks_do_not_matter() -> None:
    assert is_yes_no("  Is CT\n better than\tMRI? ")


def said(text: str, key: int = 1, cosine: float = 0.5) -> Sentence:
    terms = frozenset(tokenize(text))
    return Sentence(key, text, terms, frozenset(), 0.0, "conclu" in text.lower(), terms, cosine)


def cues(question: str, text: str) -> dict[str, float]:
    one = said(text)
    asked, wanted = question_cues(question), frozenset(tokenize(question))
    values = sentence_cues(asked, wanted, text, one.terms, one.known, one.concludes, 0.5)
    return dict(zip(SENTENCE_FEATURES, values, strict=True))


def test_features_have_one_length() -> None:
    for evidence in ([], [said("No difference here.")], [said("No significant difference."), said("It may help.")] * 4):
        row = features("Does CT reduce harm more than MRI?", evidence, RARITY)
        assert row.shape == (WIDTH,)
        assert np.isfinite(row).all()
    assert not features("", (), RARITY).any()


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("CT did not reduce harm.", 1.0),
        ("There was no significant reduction of harm.", 1.0),
        ("CT failed to reduce harm.", 1.0),
        ("CT reduced harm.", 0.0),
        ("CT was better known than ultrasound.", 0.0),
    ],
)
def test_denial_is_seen(text: str, denied: float) -> None:
    assert cues("Does CT reduce harm?", text)["denied"] == denied


def test_denied_share_counts_the_words_behind_a_negation() -> None:
    wanted = frozenset(tokenize("stone harm"))
    assert denied_share("No stone was seen", wanted) == 1.0
    assert denied_share("A stone was seen without any harm", wanted) == 0.5
    assert denied_share("No one two three four five six stone", wanted) == 0.0
    assert denied_share("nothing of it", wanted) == 0.0


def test_direction_is_that_of_the_question_unless_denied() -> None:
    question = "Does it increase risk?"
    assert cues(question, "Risk was higher.")["same direction, not denied"] == 1.0
    assert cues(question, "Risk was reduced.")["same direction, not denied"] == -1.0
    assert cues(question, "Risk was not higher.")["same direction, denied"] == 1.0
    assert cues(question, "Risk was not higher.")["same direction, not denied"] == 0.0
    assert cues("Is it a risk?", "Risk was higher.")["same direction"] == 0.0


def test_opposites_are_words_that_stand_in_place_of_the_asked() -> None:
    wanted = frozenset(tokenize("Is impetigo viral?"))
    assert says_opposite(wanted, frozenset(tokenize("Impetigo is a bacterial infection")))
    assert not says_opposite(wanted, frozenset(tokenize("It is viral, not bacterial")))
    assert not says_opposite(wanted, frozenset(tokenize("Impetigo is common")))


def test_relevant_prefers_what_holds_the_question_and_leaves_repeats_out() -> None:
    rows = [
        said("gallium uptake was seen", cosine=0.1),
        said("ct finds stones", cosine=0.1),
        said("ct finds stones", 2),
    ]
    found = relevant("Does CT find stones?", rows, RARITY)
    assert [one.text for one in found] == ["ct finds stones", "gallium uptake was seen"]
    assert found[0].key == 2  # its cosine is higher by more than its place costs
    assert found[0].score > found[1].score


def test_rare_words_that_the_evidence_lacks_are_seen() -> None:
    with_all = features("Does lucatumumab bind CD140?", [said("lucatumumab can bind CD140")], RARITY)
    without = features("Does lucatumumab bind CD140?", [said("lucatumumab can bind CD40")], RARITY)
    lacks = {name: without[-9 + n] - with_all[-9 + n] for n, name in enumerate(NEARNESS)}
    assert lacks["most covered"] < 0
    assert lacks["rarest missing in the fullest"] > 0
    assert lacks["missing everywhere"] > 0
    assert lacks["three rarest together"] == -1.0


def test_a_word_that_another_sentence_has_is_not_missing_everywhere() -> None:
    rows = [said("lucatumumab can bind CD40"), said("CD140 is a receptor")]
    row = dict(zip(NEARNESS, features("Does lucatumumab bind CD140?", rows, RARITY)[-9:].tolist(), strict=True))
    assert row["rarest missing in the fullest"] > 0
    assert row["missing everywhere"] == 0
    assert row["three rarest together"] == 0


def test_verdict_is_the_softmax_of_hand_made_logits() -> None:
    model = VerdictModel(np.zeros((3, WIDTH)), np.log([0.2, 0.5, 0.3]), {})
    verdict = model("Is it?", (), RARITY)
    assert verdict.answer == "no"
    assert verdict.probability == pytest.approx({"yes": 0.2, "no": 0.5, "maybe": 0.3})


def test_evidence_moves_the_verdict() -> None:
    weights = np.zeros((3, WIDTH))
    weights[0, -1] = 2.0  # the last feature is how much was found: a fifth of log(1 + sentences)
    model = VerdictModel(weights, np.zeros(3), {})
    odds = np.exp(2.0 * np.log(2) / 5)
    assert model("Is it?", [said("It is so.")], RARITY).probability["yes"] == pytest.approx(odds / (odds + 2))
    assert model("Is it?", (), RARITY).probability == pytest.approx(dict.fromkeys(VERDICTS, 1 / 3))


def test_large_logits_do_not_overflow() -> None:
    verdict = VerdictModel(np.zeros((3, WIDTH)), np.asarray([1e4, 0.0, -1e4]), {})("Is it?", (), RARITY)
    assert sum(verdict.probability.values()) == pytest.approx(1)


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


GOOD = {"weights": np.ones((3, WIDTH)).tolist(), "bias": [0.0, 1.0, 2.0], "facts": {"n": 5}}


def test_load_gives_what_was_stored(tmp_path: Path) -> None:
    model = VerdictModel.load("evidence", write(tmp_path / "v.json", {"evidence": GOOD}))
    assert model.weights.shape == (3, WIDTH)
    assert model.bias.tolist() == [0.0, 1.0, 2.0]
    assert model.facts == {"n": 5}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({}, "no verdict model 'evidence'"),
        ([], "no verdict model"),
        ({"evidence": {}}, "no verdict model"),
        ({"evidence": {**GOOD, "weights": [["a"]]}}, "no verdict model"),
        ({"evidence": {**GOOD, "weights": [[1.0]]}}, "another version"),
        ({"evidence": {**GOOD, "bias": [0.0]}}, "another version"),
    ],
)
def test_unusable_file_says_how_to_make_it(tmp_path: Path, content: object, says: str) -> None:
    with pytest.raises(ModelError, match=f"{says}.*radrag train verdict"):
        VerdictModel.load("evidence", write(tmp_path / "v.json", content))


def test_absent_file_and_broken_json(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="radrag train verdict"):
        VerdictModel.load("evidence", tmp_path / "none.json")
    (tmp_path / "v.json").write_text("{")
    with pytest.raises(ModelError, match="radrag train verdict"):
        VerdictModel.load("evidence", tmp_path / "v.json")


def test_fingerprint_follows_the_file(tmp_path: Path) -> None:
    file = write(tmp_path / "v.json", GOOD)
    before = models_fingerprint(file)
    assert models_fingerprint(write(file, {})) != before
    assert models_fingerprint(tmp_path / "none.json") == "none"


@pytest.mark.parametrize("name", ["evidence", "document", "question"])
def test_shipped_models_load(name: str) -> None:
    rows = () if name == "question" else [said("CT is safe.")]
    verdict = VerdictModel.load(name)("Is CT safe?", rows, RARITY)
    assert sum(verdict.probability.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["evidence", "document"])
def test_shipped_models_read_denial(name: str) -> None:
    model, rarity = VerdictModel.load(name), SentenceModel.load().rarity
    question = "Does gavestinel improve outcome of stroke?"
    for yes, no in [
        ("Gavestinel improved outcome of stroke.", "Gavestinel did not improve outcome of stroke."),
        ("Conclusion: gavestinel was effective in stroke.", "Conclusion: gavestinel failed to improve stroke outcome."),
    ]:
        for_yes = model(question, [said(yes)], rarity).probability["yes"]
        for_no = model(question, [said(no)], rarity).probability["yes"]
        assert for_yes > for_no + 0.1
