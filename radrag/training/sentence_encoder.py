"""Tuning of a sentence-transformers model on pairs of texts.

Loss: Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply" (2017), the other passages of a
batch and the given negatives being wrong (``MultipleNegativesRankingLoss``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radrag.errors import ModelError, require
from radrag.indexes.minilm import minilm_folder
from radrag.training._files import package_versions, replaced_folder, texts_sha256, write_json
from radrag.training._pairs import Pair, fitting_batch


def tune_sentence_encoder(
    pairs: Sequence[Pair], source: str | Path, out: str | Path, *, epochs: int = 1, batch: int = 32, lr: float = 2e-5,
    seed: int = 0,
) -> Path:  # fmt: skip
    """Tune a sentence-transformers model; the result loads with ``load_encoder(out)``.

    Args:
        pairs: Texts that belong together; all of them name a negative, or none does.
        source: ``"minilm"``, a hub name or a folder.
        out: Folder to write, replaced as a whole.
        epochs: Times to see every pair.
        batch: Pairs a step, no text twice in one; all if there are fewer.
        lr: Highest learning rate.
        seed: Seed of every draw.

    Returns:
        The folder written.

    Raises:
        ModelError: If the model cannot be loaded.
        MissingExtraError: If sentence-transformers or datasets is not installed.
    """
    negatives = [pair.negative for pair in pairs if pair.negative is not None]
    batch = fitting_batch(batch, len(pairs), epochs)
    if negatives and len(negatives) < len(pairs):
        raise ValueError(f"{len(negatives)} of {len(pairs)} pairs name a negative; give one to all or to none")
    columns = {"query": [pair.query for pair in pairs], "passage": [pair.passage for pair in pairs]}
    if negatives:
        columns["negative"] = negatives
    library = require("sentence_transformers", extra="train")
    try:
        model = library.SentenceTransformer(str(minilm_folder() if source == "minilm" else source))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"sentence-transformers cannot load {str(source)!r}: {error}. Give a model's folder"
        ) from error
    with replaced_folder(Path(out)) as staging:
        _train(model, columns, staging, {"epochs": epochs, "batch": batch, "lr": lr, "seed": seed})
        model.save_pretrained(str(staging))
        facts = {
            "kind": "sentence-encoder",
            "source": "sentence-transformers/all-MiniLM-L6-v2" if source == "minilm" else Path(source).name,
            "pairs": len(pairs),
            "pairs_sha256": texts_sha256(text for column in columns.values() for text in column),
            "versions": package_versions("sentence-transformers", "torch", "transformers"),
        }
        write_json(staging / "radrag.json", {**facts, "epochs": epochs, "batch": batch, "lr": lr, "seed": seed})
    return Path(out)


def _train(model: Any, columns: dict[str, list[str]], folder: Path, settings: dict[str, Any]) -> None:
    library = require("sentence_transformers", extra="train")
    losses = require("sentence_transformers.sentence_transformer.losses", extra="train")
    arguments = library.SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=settings["batch"],
        learning_rate=settings["lr"],
        warmup_steps=0.1,
        seed=settings["seed"],
        batch_sampler=library.sentence_transformer.training_args.BatchSamplers.NO_DUPLICATES,
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=require("torch", extra="train").cuda.is_available(),
        disable_tqdm=True,
        logging_strategy="no",
    )
    dataset = require("datasets", extra="train").Dataset.from_dict(columns)
    loss = losses.MultipleNegativesRankingLoss(model)
    library.SentenceTransformerTrainer(model, args=arguments, train_dataset=dataset, loss=loss).train()
