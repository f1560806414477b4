import json
from pathlib import Path

import numpy as np
import pytest

from radrag.errors import ModelError
from radrag.reading.verdict import VerdictModel, features, is_yes_no, models_fingerprint
from radrag.types import VERDICTS

WIDTH = len(features("", []))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is CT better than MRI?", True),
        ("Is it A or B that matters?", True),
        ("Are low dose scans safe in pregnancy?", True),
        ("Does contrast harm the kidney?", True),
        ("does contrast harm the kidney?", True),
        ("Do mitochondria play a role in programmed cell death?", True),
        ("Can tailored interventions increase mammography use?", True),
        ("Should all patients be screened?", True),
        ("Has the incidence changed since 2000?", True),
        ("Isn't ultrasound enough for stones?", True),
        ("MRI in appendicitis: is it useful?", True),
        ("Landolt C and snellen e acuity: differences in strabismus amblyopia?", False),
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
        ("Is?", False),
        ("", False),
    ],
)
def test_questions_that_ask_for_yes_or_no(question: str, expected: bool) -> None:
    assert is_yes_no(question) is expected


def test_line_breaks_do_not_matter() -> None:
    assert is_yes_no("  Is CT\n better than\tMRI? ")


def test_features_have_one_length_and_bounds() -> None:
    for evidence in ([], ["No difference."], ["No significant difference was found.", "It may help."] * 4):
        row = features("Does CT reduce harm more than MRI?", evidence)
        assert row.shape == (WIDTH,)
        assert ((row >= 0) & (row <= 1)).all()
    assert features("", [])[-1] == 0
    assert features("", ["x"])[-1] == 1


def test_verdict_is_the_softmax_of_hand_made_logits() -> None:
    model = VerdictModel(np.zeros((3, WIDTH)), np.log([0.2, 0.5, 0.3]), {})
    verdict = model("Is it?", [])
    assert verdict.answer == "no"
    assert verdict.probability == pytest.approx({"yes": 0.2, "no": 0.5, "maybe": 0.3})


def test_evidence_moves_the_verdict() -> None:
    weights = np.zeros((3, WIDTH))
    weights[0, -1] = 2.0  # the last feature says that there is evidence
    model = VerdictModel(weights, np.zeros(3), {})
    odds = np.exp(2.0)
    assert model("Is it?", ["It is."]).probability["yes"] == pytest.approx(odds / (odds + 2))
    assert model("Is it?", []).probability == pytest.approx(dict.fromkeys(VERDICTS, 1 / 3))


def test_large_logits_do_not_overflow() -> None:
    verdict = VerdictModel(np.zeros((3, WIDTH)), np.asarray([1e4, 0.0, -1e4]), {})("Is it?", [])
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


@pytest.mark.parametrize("name", ["evidence", "question"])
def test_shipped_models_load(name: str) -> None:
    verdict = VerdictModel.load(name)("Is CT safe?", ["CT is safe."] if name == "evidence" else [])
    assert sum(verdict.probability.values()) == pytest.approx(1)
