"""What ``train_qlora`` leaves behind: a folder that loads, says what it is, and belongs to one base."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("trl")
pytest.importorskip("bitsandbytes")

from radrag.errors import ModelError  # noqa: E402
from radrag.generation.llama import LlamaGenerator  # noqa: E402
from radrag.generation.prompts import fingerprint, label_chat  # noqa: E402
from radrag.training import output  # noqa: E402
from radrag.training.qlora import QLoraConfig, Tuned, train_qlora  # noqa: E402
from radrag.types import LabelledNote  # noqa: E402

pytestmark = pytest.mark.train
CONFIG = QLoraConfig(steps=30, batch=4, max_length=96, r=8, lr=1e-2, evaluations=3, valid_share=0.2)


@pytest.fixture(scope="module")
def notes(texts: list[str]) -> list[LabelledNote]:
    return [LabelledNote(text, "mr-iac" if "deafness" in text else "ct-stone") for text in texts[::3]]


@pytest.fixture(scope="module")
def tuned(base: Path, notes: list[LabelledNote], tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    out = tmp_path_factory.mktemp("tuned") / "adapter"
    return train_qlora(base, notes, out, CONFIG, local_files_only=True, data_note="toy notes")


def test_the_folder_holds_all_that_is_needed(tuned: Tuned, base: Path) -> None:
    names = {path.name for path in tuned.folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "radrag.json", "README.md"} <= names
    assert {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= names
    own, bases = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (tuned.folder, base))
    assert own.chat_template == bases.chat_template
    assert own("Notes: flank pain")["input_ids"] == bases("Notes: flank pain")["input_ids"]


def test_the_record_is_complete(tuned: Tuned, base: Path, notes: list[LabelledNote]) -> None:
    record = output.read_record(tuned.folder)
    assert record["config"] == json.loads(json.dumps({name: getattr(CONFIG, name) for name in record["config"]}))
    assert record["base"] == {"name": "random", "revision": None, "digest": output.base_record(source(base))["digest"]}
    assert record["prompts"] == fingerprint()
    assert record["data"]["train"] + record["data"]["valid"] == len(notes)
    assert record["data"]["note"] == "toy notes"
    assert len(record["data"]["sha256"]) == 64
    assert record["metrics"]["valid_loss"] == pytest.approx(tuned.valid_loss)
    assert record["metrics"]["accuracy"]["n"] == record["data"]["valid"]
    assert [entry["step"] for entry in record["history"] if "eval_loss" in entry] == [10, 20, 30]
    assert record["versions"]["peft"]
    texts = "".join(file.read_text() for file in tuned.folder.iterdir() if file.suffix in (".json", ".md", ".jinja"))
    assert str(tuned.folder.parent) not in texts
    assert str(base.parent) not in texts
    card = (tuned.folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: peft\nbase_model: random\n")
    for wanted in ("Not for clinical use", record["base"]["digest"], record["data"]["sha256"], "toy notes", "Licence"):
        assert wanted in card


def source(folder: Path) -> Any:
    from radrag.generation._loading import Source

    return Source(str(folder))


def test_it_loads_on_its_base_and_on_no_other(
    tuned: Tuned, base: Path, notes: list[LabelledNote], tmp_path: Path
) -> None:
    assert tuned.last_loss < 0.85 * tuned.first_loss
    chats = [label_chat(note.text, None) for note in notes[::10]]
    plain, generator = (LlamaGenerator(base, given, quantize="nf4", device="cpu") for given in (None, tuned.folder))
    assert (generator.score(chats, ["ct-stone"]) > plain.score(chats, ["ct-stone"]) + 2).all()
    other = shutil.copytree(base, tmp_path / "other")
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"][3] += 1e-3  # one value
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"was made for random with weights sha256:.*Load the model it was made for"):
        LlamaGenerator(other, adapter=tuned.folder, device="cpu")
    LlamaGenerator(shutil.copytree(base, tmp_path / "copy"), adapter=tuned.folder, device="cpu")


def test_an_adapter_on_top_of_another(tuned: Tuned, base: Path, notes: list[LabelledNote], tmp_path: Path) -> None:
    # The first adapter knows the labels; the second starts there, so its loss starts low and it needs its own base.
    config = replace(CONFIG, steps=2, lr=1e-6, evaluations=0)
    made = train_qlora(base, notes, tmp_path / "second", config, adapter=tuned.folder, local_files_only=True)
    assert made.first_loss == pytest.approx(tuned.last_loss, abs=0.3)
    assert made.first_loss < 0.85 * tuned.first_loss
    assert Path(made.base) == tmp_path / "second-base"
    LlamaGenerator(made.base, adapter=made.folder, device="cpu")
    with pytest.raises(ModelError, match="was made for second-base"):
        LlamaGenerator(base, adapter=made.folder, device="cpu")
    # Made once, and anew where the adapter below is another.
    times = (Path(made.base) / "model.safetensors").stat().st_mtime_ns
    train_qlora(base, notes, tmp_path / "second", config, adapter=tuned.folder, local_files_only=True)
    assert (Path(made.base) / "model.safetensors").stat().st_mtime_ns == times
    other = train_qlora(base, notes, tmp_path / "other", replace(config, steps=4, lr=1e-2), local_files_only=True)
    train_qlora(base, notes, tmp_path / "second", config, adapter=other.folder, local_files_only=True)
    record = output.read_record(made.base)
    assert record["adapter"]["digest"] == output.read_record(other.folder)["digest"]


def test_a_failed_run_leaves_an_earlier_adapter_alone(
    tuned: Tuned, base: Path, notes: list[LabelledNote], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tuned.folder, tmp_path / "adapter")
    before = (folder / "adapter_model.safetensors").read_bytes()
    monkeypatch.setattr(output, "describe_adapter", lambda *given, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train_qlora(base, notes, folder, replace(CONFIG, steps=2, evaluations=0), local_files_only=True)
    assert (folder / "adapter_model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "adapter.work"]


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("[", "cannot be read"), ("[]", "list")])
def test_a_record_that_is_none(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "radrag.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        output.read_record(tmp_path)
