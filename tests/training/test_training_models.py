import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("bitsandbytes")

from radrag.errors import ModelError
from radrag.generation.llama import LlamaGenerator
from radrag.generation.prompts import label_chat
from radrag.training import QLoraConfig, SmallLlamaConfig, label_accuracy, pretrain, train_qlora
from radrag.training import pretraining as pretraining_module
from radrag.types import LabelledNote

pytestmark = pytest.mark.train
SMALL = SmallLlamaConfig(hidden=64, layers=2, heads=2, intermediate=64, context=128, sequence=64, batch=4)


@pytest.fixture(scope="module")
def base(texts: list[str], tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny"
    result = pretrain(texts, tokenizer_folder, out, SMALL, steps=400)
    assert result.train_loss < 4.0  # a uniform guess over 300 tokens costs 5.7
    assert result.valid_loss is not None
    assert result.valid_loss < 4.0
    return out


def toy_notes(texts: list[str]) -> list[LabelledNote]:
    return [LabelledNote(text, "mr-iac" if "deafness" in text else "ct-stone") for text in texts]


def test_base_is_complete_and_recorded(base: Path) -> None:
    record = json.loads((base / "radrag.json").read_text())
    assert record["parameters"] == sum(p.numel() for p in LlamaGenerator(base, device="cpu").model.parameters())
    assert "Not for clinical use" in (base / "README.md").read_text()
    assert not (base.parent / "tiny.work").exists()
    assert sorted(p.name for p in base.parent.iterdir()) == ["tiny"]


def test_default_shape_fits_what_may_ship() -> None:
    c = SmallLlamaConfig()
    layer = 4 * c.hidden * c.hidden + 3 * c.hidden * c.intermediate + 2 * c.hidden
    assert (4096 * c.hidden + c.layers * layer + c.hidden) * 2 <= 25_000_000  # bytes as bfloat16


def test_interrupted_pretraining_goes_on_to_the_same_weights(
    texts: list[str], tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pretrain(texts, tokenizer_folder, tmp_path / "whole", SMALL, steps=10)

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        trainer = make_trainer(*args, **kwargs)
        transformers = pytest.importorskip("transformers")

        class Stop(transformers.TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == 7:
                    raise KeyboardInterrupt

        trainer.add_callback(Stop())
        return trainer

    make_trainer = pretraining_module._trainer
    monkeypatch.setattr(pretraining_module, "_trainer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(texts, tokenizer_folder, tmp_path / "parts", SMALL, steps=10)
    assert not (tmp_path / "parts").exists()
    monkeypatch.undo()
    with pytest.raises(ValueError, match="other settings"):
        pretrain(texts, tokenizer_folder, tmp_path / "parts", SMALL, steps=11)
    parts = pretrain(texts, tokenizer_folder, tmp_path / "parts", SMALL, steps=10)
    assert parts.steps == whole.steps == 10
    assert (parts.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("limits", [{}, {"steps": 1, "minutes": 1}])
def test_one_limit_is_needed(tokenizer_folder: Path, tmp_path: Path, limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give minutes or steps"):
        pretrain(["a"], tokenizer_folder, tmp_path / "x", **limits)


@pytest.mark.parametrize(
    ("shape", "message"), [({"heads": 5}, "256 and 5"), ({"intermediate": 288}, "288"), ({"sequence": 9999}, "9999")]
)
def test_shape_is_checked(shape: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmallLlamaConfig(**shape)


def test_qlora_learns_and_loads(texts: list[str], base: Path, tmp_path: Path) -> None:
    notes = toy_notes(texts)
    config = QLoraConfig(r=16, alpha=16, steps=400, max_length=128, batch=8)
    tuned = train_qlora(base, notes, tmp_path / "adapter", config, local_files_only=True)
    assert tuned.last_loss < tuned.first_loss / 2
    assert tuned.accuracy is not None
    assert tuned.accuracy.value > 0.9
    assert tuned.accuracy.n == 36
    chats = [label_chat(note.text, None) for note in notes[::40]]
    truth = [note.label for note in notes[::40]]
    generator = LlamaGenerator(base, tuned.folder, quantize="nf4", device="cpu")
    best = generator.score(chats, ["ct-stone", "mr-iac"]).argmax(-1)
    assert [("ct-stone", "mr-iac")[n] for n in best] == truth
    assert label_accuracy(base, tuned.folder, notes[:20]).value > 0.9
    record = json.loads((tuned.folder / "radrag.json").read_text())
    assert record["metrics"]["accuracy"]["n"] == 36
    assert str(tmp_path) not in "".join(
        file.read_text() for file in tuned.folder.glob("*.[jm]*") if "safe" not in file.name
    )
    with pytest.raises(ModelError, match="was made for tiny"):
        LlamaGenerator(other_base(base, tmp_path), tuned.folder, device="cpu")


def other_base(base: Path, tmp_path: Path) -> Path:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(base, tmp_path / "other")
    weights = load_file(folder / "model.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_qlora_refuses_to_cut_a_label(texts: list[str], base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer than max_length 20"):
        train_qlora(base, toy_notes(texts), tmp_path / "adapter", QLoraConfig(max_length=20))


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, radrag.training, radrag.generation.prompts; print('torch' in sys.modules, 'trl' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
