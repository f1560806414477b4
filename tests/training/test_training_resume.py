"""A run that was interrupted, in whatever way, ends with the bytes of one that was not."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("bitsandbytes")
transformers = pytest.importorskip("transformers")

from radrag.errors import ModelError  # noqa: E402
from radrag.generation._loading import Source, identity  # noqa: E402
from radrag.training import _engine, qlora, two_step  # noqa: E402
from radrag.training._runs import Run  # noqa: E402
from radrag.training.classification import train_classifier  # noqa: E402
from radrag.training.preferences import Correction, pairs_from_corrections, train_dpo  # noqa: E402
from radrag.training.qlora import QLoraConfig, train_qlora  # noqa: E402
from radrag.training.records import label_records  # noqa: E402
from radrag.types import LabelledNote  # noqa: E402

pytestmark = pytest.mark.train
BASE = {"tie_word_embeddings": False}
CONFIG = QLoraConfig(
    steps=12, batch=2, accumulate=2, max_length=96, dropout=0.1, evaluations=6, patience=5, r=4, valid_share=0.2
)


@pytest.fixture(scope="module")
def notes(texts: list[str]) -> list[LabelledNote]:
    return [LabelledNote(text, "mr-iac" if "deafness" in text else "ct-stone") for text in texts[::6]]


@pytest.fixture(scope="module")
def whole(base: Path, notes: list[LabelledNote], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    made = train_qlora(base, notes, tmp_path_factory.mktemp("whole") / "adapter", CONFIG, local_files_only=True)
    assert made.steps == 12
    assert made.first_loss - made.last_loss > 0.1
    return (made.folder / "adapter_model.safetensors").read_bytes()


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, event: str = "on_step_begin") -> None:
    def raising(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step:
            raise KeyboardInterrupt

    stop = type("Stop", (transformers.TrainerCallback,), {event: raising})
    monkeypatch.setattr(qlora, "callbacks", lambda config: [*_engine.callbacks(config), stop()])


@pytest.mark.parametrize("step", [3, 7])
def test_an_interrupted_run_ends_with_the_same_weights(
    step: int, base: Path, notes: list[LabelledNote], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(step, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_qlora(base, notes, tmp_path / "adapter", CONFIG, local_files_only=True)
    assert not (tmp_path / "adapter").exists()
    saved = max(int(path.name.split("-")[1]) for path in (tmp_path / "adapter.work").glob("checkpoint-*"))
    assert saved == step // 2 * 2
    monkeypatch.undo()
    with pytest.raises(ValueError, match="other settings"):
        train_qlora(base, notes, tmp_path / "adapter", replace(CONFIG, lr=1e-3), local_files_only=True)
    made = train_qlora(base, notes, tmp_path / "adapter", CONFIG, local_files_only=True)
    assert (made.folder / "adapter_model.safetensors").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


_KILLED = """
import json, os, signal, sys
from radrag.training.qlora import QLoraConfig, train_qlora
from radrag.types import LabelledNote
from transformers import Trainer

base, out, config, notes = json.loads(sys.argv[1])
whole = Trainer._save_rng_state
def dying(self, folder):
    if self.state.global_step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self, folder)
Trainer._save_rng_state = dying
train_qlora(base, [LabelledNote(*note) for note in notes], out, QLoraConfig(**config), local_files_only=True)
"""


@pytest.mark.slow
def test_a_run_killed_while_it_saves_ends_with_the_same_weights(
    base: Path, notes: list[LabelledNote], whole: bytes, tmp_path: Path
) -> None:
    given = json.dumps([str(base), str(tmp_path / "adapter"), asdict(CONFIG), [[n.text, n.label] for n in notes]])
    done = subprocess.run([sys.executable, "-c", _KILLED, given], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    work = tmp_path / "adapter.work"
    assert (work / "checkpoint-8" / "adapter_model.safetensors").is_file()
    made = train_qlora(base, notes, tmp_path / "adapter", CONFIG, local_files_only=True)
    assert (made.folder / "adapter_model.safetensors").read_bytes() == whole


def test_only_whole_checkpoints_are_used(
    base: Path, notes: list[LabelledNote], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train_qlora(base, notes, tmp_path / "adapter", CONFIG, local_files_only=True)
    made = tmp_path / "adapter.work"
    settings = json.loads((made / "run.json").read_text())
    later, files = made / "checkpoint-4", [path.name for path in (made / "checkpoint-4").iterdir()]
    assert {"adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"} <= set(files)
    run = Run.__new__(Run)
    run.folder = made
    assert run.checkpoint == str(later)
    whole = shutil.copytree(later, tmp_path / "copy")
    for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        content = (whole / name).read_bytes()
        for broken in (content[:-2], content[: len(content) // 2], b""):
            (later / name).write_bytes(broken)
            assert run.checkpoint == str(made / "checkpoint-2"), name
        (later / name).write_bytes(content)
    assert run.checkpoint == str(later)
    (later / "trainer_state.json").unlink()
    assert run.checkpoint == str(made / "checkpoint-2")
    assert settings["steps"] == 12


def test_a_run_that_stopped_early_takes_no_step_more(
    base: Path, notes: list[LabelledNote], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A rate this high makes the loss rise after the first evaluation, so two more without gain end the run.
    config = replace(CONFIG, lr=0.5, patience=2, steps=24, evaluations=12, warmup=0)
    whole = train_qlora(base, notes, tmp_path / "whole", config, local_files_only=True)
    record = json.loads((whole.folder / "radrag.json").read_text())
    losses = [entry["eval_loss"] for entry in record["history"] if "eval_loss" in entry]
    assert whole.steps < 24
    assert len(losses) == losses.index(min(losses)) + 3
    assert whole.valid_loss == pytest.approx(min(losses), rel=1e-5)  # the best weights were kept, not the last

    parts = interrupted_at_the_end(base, notes, tmp_path / "parts", config, monkeypatch)
    assert parts.steps == whole.steps
    weights = [(made.folder / "adapter_model.safetensors").read_bytes() for made in (whole, parts)]
    assert weights[0] == weights[1]


def test_a_run_interrupted_after_its_last_step_takes_no_step_more(
    base: Path, notes: list[LabelledNote], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = interrupted_at_the_end(base, notes, tmp_path / "parts", CONFIG, monkeypatch)
    assert made.steps == 12
    assert (made.folder / "adapter_model.safetensors").read_bytes() == whole


def interrupted_at_the_end(
    base: Path, notes: list[LabelledNote], out: Path, config: QLoraConfig, monkeypatch: pytest.MonkeyPatch
) -> qlora.Tuned:
    monkeypatch.setattr(qlora, "_write", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train_qlora(base, notes, out, config, local_files_only=True)
    monkeypatch.undo()
    return train_qlora(base, notes, out, config, local_files_only=True)


def test_curves_outlive_the_work_folder(tmp_path: Path) -> None:
    for day in ("first", "second"):
        run = Run(tmp_path / "out.v1", {})
        run.begin(3)
        assert run.folder.name == "out.v1.work"
        (run.folder / "runs" / day).mkdir(parents=True)
        run.finish()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["first", "out.v1.runs", "second"]


PLAIN = replace(CONFIG, quantize=None, evaluations=0, patience=None)


class StoppedError(Exception):
    pass


def tune(way: str, base: Path, notes: list[LabelledNote], out: Path) -> None:
    """Begin a run of a kind that goes on from a base."""
    texts = [note.text for note in notes]
    if way == "qlora":
        train_qlora(base, notes, out, PLAIN, local_files_only=True)
    elif way == "domain":
        two_step.pretrain_adapter(base, texts, out, PLAIN, local_files_only=True)
    elif way == "two steps":
        source, records = Source(str(base), None, True), label_records(notes)
        domain = out.with_name("domain")  # only its digest is looked at
        two_step._train_stacked(source, records, None, out, PLAIN, PLAIN, domain, "both", "")
    elif way == "preferences":
        other = {"mr-iac": "ct-stone", "ct-stone": "mr-iac"}
        pairs = pairs_from_corrections([Correction(note.text, other[note.label], note.label) for note in notes])
        train_dpo(base, pairs, out, replace(PLAIN, packing=False), adapter=None, local_files_only=True)
    else:
        deaf = [int("deafness" in text) for text in texts]
        train_classifier(base, texts, deaf, out, PLAIN, kind="binary", labels=["deaf"], local_files_only=True)


@pytest.mark.parametrize("way", ["qlora", "domain", "two steps", "preferences", "classification"])
def test_a_run_goes_on_only_from_the_weights_it_began_with(
    way: str, base: Path, notes: list[LabelledNote], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: Any, **named: Any) -> None:
        raise StoppedError

    for module in (_engine, qlora):
        monkeypatch.setattr(module, "load_base", stop)
    own, out = shutil.copytree(base, tmp_path / "base"), tmp_path / "out"
    if way == "two steps":
        shutil.copytree(base, tmp_path / "domain")
    for _ in range(2):  # the second time it goes on
        with pytest.raises(StoppedError):
            tune(way, own, notes, out)
    weights = own / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoints of a run with other settings or data\. Finish that run, delete"):
        tune(way, own, notes, out)
    moved = shutil.copytree(base, tmp_path / "moved")
    with pytest.raises(StoppedError):
        tune(way, moved, notes, out)


def test_what_is_on_the_hub_is_known_by_its_name_and_revision(tmp_path: Path) -> None:
    assert identity(Source("meta-llama/Llama-3.2-1B", "a1b2")) == "meta-llama/Llama-3.2-1B@a1b2"
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"holds no \.safetensors"):
        identity(Source(str(tmp_path)))
