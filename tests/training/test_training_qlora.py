"""``train_qlora`` on records: what is held out, what is refused, and several processes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("trl")
pytest.importorskip("bitsandbytes")

from radrag.generation.llama import LlamaGenerator  # noqa: E402
from radrag.training.qlora import QLoraConfig, label_accuracy, train_qlora  # noqa: E402
from radrag.training.records import ChatRecord, label_records  # noqa: E402
from radrag.types import LabelledNote, Message  # noqa: E402

pytestmark = pytest.mark.train
CONFIG = QLoraConfig(steps=4, batch=4, max_length=96, r=4, checkpoints=0)


@pytest.fixture(scope="module")
def notes(texts: list[str]) -> list[LabelledNote]:
    return [LabelledNote(text, "mr-iac" if "deafness" in text else "ct-stone") for text in texts[::8]]


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def test_notes_and_their_records_give_the_same_weights(base: Path, notes: list[LabelledNote], tmp_path: Path) -> None:
    first = train_qlora(base, notes, tmp_path / "notes", CONFIG, local_files_only=True)
    second = train_qlora(base, label_records(notes), tmp_path / "records", CONFIG, local_files_only=True)
    assert weights(first.folder) == weights(second.folder)
    assert first.accuracy is not None
    other = train_qlora(base, notes, tmp_path / "seed", replace(CONFIG, seed=1), local_files_only=True)
    assert weights(first.folder) != weights(other.folder)


def test_given_held_out_records_are_the_ones_measured(base: Path, texts: list[str], tmp_path: Path) -> None:
    def record(text: str, reply: str) -> ChatRecord:
        return ChatRecord((Message("user", text),), reply)

    train = [record(f"{text} one", "a long reply " + str(n)) for n, text in enumerate(texts[:10])]
    held = [record("asthma in a child", "yes"), record("fracture of the wrist", "no")]
    made = train_qlora(base, train, tmp_path / "out", CONFIG, valid=held, local_files_only=True)
    assert made.statistics.n == 10
    assert made.accuracy is None  # these replies are no labels
    generator = LlamaGenerator(base, made.folder, quantize="nf4", device="cpu")
    found = [-float(generator.score([one.prompt], [one.completion])[0, 0]) for one in held]
    tokens = sum(len(generator.reply_tokens(one.completion)) for one in held)
    assert made.valid_loss == pytest.approx(sum(found) / tokens, rel=1e-4)
    with pytest.raises(ValueError, match=r"(?i)leak|both|also"):
        train_qlora(base, train, tmp_path / "leak", CONFIG, valid=train[:1], local_files_only=True)


def test_accuracy_is_the_share_of_exact_replies(
    base: Path, notes: list[LabelledNote], monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    def replies(self: LlamaGenerator, chats: object, params: object = None) -> list[SimpleNamespace]:
        return [SimpleNamespace(text=text) for text in ("ct-stone", "ct-stone ", "ct-ston", "mr-iac")]

    monkeypatch.setattr(LlamaGenerator, "generate", replies)
    asked = [LabelledNote(f"note {n}", "ct-stone") for n in range(4)]
    assert label_accuracy(base, None, asked).value == 0.25


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_length": 20}, "longer than max_length 20"),
        ({"evaluations": 2, "valid_share": 0.0}, "evaluations=2 needs held-out records"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    changed: dict[str, float], message: str, base: Path, notes: list[LabelledNote], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train_qlora(base, notes, tmp_path / "out", replace(CONFIG, **changed), local_files_only=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="no record"):
        train_qlora(base, [], tmp_path / "out", CONFIG, local_files_only=True)


@pytest.mark.parametrize("changed", [{"packing": False}, {"gradient_checkpointing": True}, {"quantize": None}])
def test_settings_that_change_how_and_not_what(
    changed: dict[str, object], base: Path, notes: list[LabelledNote], tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=6, valid_share=0.0, **changed)
    made = train_qlora(base, notes, tmp_path / "out", config, local_files_only=True)
    plain = train_qlora(
        base, notes, tmp_path / "plain", replace(CONFIG, steps=6, valid_share=0.0), local_files_only=True
    )
    assert made.last_loss < made.first_loss
    assert made.valid_loss is None
    if changed == {"gradient_checkpointing": True}:
        assert weights(made.folder) == weights(plain.folder)
    else:
        assert weights(made.folder) != weights(plain.folder)


_PROCESSES = """
import json, os, sys
from radrag.training.qlora import QLoraConfig, train_qlora
from radrag.types import LabelledNote

base, out, batch, notes = json.loads(sys.argv[1])
config = QLoraConfig(steps=4, batch=batch, max_length=96, r=4, evaluations=2)
made = train_qlora(base, [LabelledNote(*note) for note in notes], out, config, local_files_only=True)
print(f'{os.environ["RANK"]} {made.first_loss} {made.valid_loss} ', end="", flush=True)
"""


@pytest.mark.slow
def test_two_processes_do_what_one_does_with_twice_the_batch(
    base: Path, notes: list[LabelledNote], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(_PROCESSES)
    given = json.dumps([str(base), str(tmp_path / "two"), 2, [[note.text, note.label] for note in notes]])
    # What `accelerate launch` starts too; on CPUs it asks for MPI instead.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script), given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "gloo" in done.stderr.lower() and done.returncode:
        pytest.skip("torch has no gloo here")
    assert done.returncode == 0, done.stderr[-3000:]
    words = done.stdout.split()
    config = QLoraConfig(steps=4, batch=4, max_length=96, r=4, evaluations=2)
    one = train_qlora(base, notes, tmp_path / "one", config, local_files_only=True)
    assert sorted(words[::3]) == ["0", "1"]
    assert [float(word) for word in words[1::3]] == pytest.approx([one.first_loss] * 2, rel=1e-4)
    assert [float(word) for word in words[2::3]] == pytest.approx([one.valid_loss] * 2, rel=1e-4)
    left, right = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    for name, value in left.items():
        np.testing.assert_allclose(right[name], value, atol=2e-4)
    assert not (tmp_path / "two.work").exists()
