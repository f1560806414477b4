import json
from pathlib import Path

import numpy as np
import pytest

from radrag.errors import ModelError
from radrag.generation.scripted import ScriptedGenerator
from radrag.grounding import NLIVerifier, ground
from radrag.reading.judge import JudgeVerifier
from radrag.types import Document, Draft, DraftClaim, Hit, Passage

TEXT = "Low-dose CT detected 96% of stones. Dose was low."


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("supported", "supported"),
        (" Contradicted.\n", "contradicted"),
        ("**partly**", "partly"),
        ("Unsupported", "unsupported"),
        ("not supported", "unchecked"),
        ("supported, because it says so", "unchecked"),
        ("supported contradicted", "unchecked"),
        ("yes", "unchecked"),
        ("", "unchecked"),
    ],
)
def test_the_judge_is_read_strictly(reply: str, verdict: str) -> None:
    judge = JudgeVerifier(ScriptedGenerator([reply]))
    (found,) = judge.verify(["CT found stones."], [[TEXT]])
    assert found.verdict == verdict
    assert found.probability is None
    assert (judge.asked, judge.unreadable) == (1, int(verdict == "unchecked"))


def test_the_judges_probability_is_its_share_of_the_four() -> None:
    class Scoring(ScriptedGenerator):
        def score(self, chats: object, options: list[str]) -> object:
            assert options == ["supported", "partly", "contradicted", "unsupported"]
            return np.log([[0.2, 0.1, 0.05, 0.05]])

    (found,) = JudgeVerifier(Scoring(["supported"])).verify(["CT found stones."], [[TEXT]])
    assert found.probability == pytest.approx(0.5)


def test_ground_takes_any_verifier_and_cites_exact_characters() -> None:
    hit = Hit(Passage("d", 0, len(TEXT), TEXT, (), "T", 1), 1.0)
    draft = Draft((DraftClaim("CT found nearly all stones.", (1,)),))
    judge = JudgeVerifier(ScriptedGenerator(lambda chat: "supported"))
    (claim,) = ground(draft, [hit], {"d": Document("d", TEXT)}.__getitem__, judge).claims
    assert claim.supported
    assert claim.citations[0].quote in TEXT
    silent = JudgeVerifier(ScriptedGenerator(lambda chat: "hm"))
    (claim,) = ground(draft, [hit], {"d": Document("d", TEXT)}.__getitem__, silent).claims
    assert (claim.supported, claim.verdict, claim.citations) == (False, "unchecked", ())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("nli")
    words = sorted(set(TEXT.replace(".", "").split()) | {"[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "found", "stones"})
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    raw.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", words.index("[SEP]")), ("[CLS]", words.index("[CLS]"))
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=40,
    ).save_pretrained(path)  # fmt: skip
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=40, num_labels=3, pad_token_id=words.index("[PAD]"), initializer_range=0.5,
        id2label={0: "entailment", 1: "neutral", 2: "contradiction"},
        label2id={"entailment": 0, "neutral": 1, "contradiction": 2},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.mark.torch
def test_nli_gives_the_models_softmax(folder: Path) -> None:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(
            **tokenizer([TEXT, "Dose was low."], ["CT found stones."] * 2, padding=True, return_tensors="pt")
        )
        expected = logits.logits.softmax(-1)[:, 0].numpy()
    verifier = NLIVerifier(folder, device="cpu", local_files_only=True)
    (found,) = verifier.verify(["CT found stones."], [[TEXT, "Dose was low."]])
    assert found.probability == pytest.approx(float(expected.max()), abs=1e-5)
    assert found.passage == int(expected.argmax())
    assert verifier.verify(["CT found stones."], [[]])[0].verdict == "unsupported"


@pytest.mark.torch
def test_nli_says_that_a_passage_was_cut(folder: Path) -> None:
    verifier = NLIVerifier(folder, device="cpu", local_files_only=True)
    long = "Dose was low. " * 30 + TEXT
    (found,) = verifier.verify(["CT found stones."], [[long]])
    assert found.objections == ("the passage was cut to fit the model",)
    kept, cut = verifier._fitted("Low-dose CT detected 96% of stones.", long)
    assert cut
    assert "detected" in kept


@pytest.mark.torch
def test_nli_refuses_what_it_cannot_tell(folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["id2label"] = {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    config["label2id"] = {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="supports=INDEX"):
        NLIVerifier(tmp_path / "m", device="cpu", local_files_only=True)
    assert NLIVerifier(tmp_path / "m", supports=2, device="cpu", local_files_only=True).verify(["CT"], [["CT"]])
    with pytest.raises(ModelError, match="folder"):
        NLIVerifier(tmp_path / "none", device="cpu", local_files_only=True)
