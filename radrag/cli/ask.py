"""``radrag ask``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from radrag.cli.app import ABSTAINED, show
from radrag.cli.index import Folder, Json

Model = Annotated[str | None, typer.Option(help="Causal LM by name or path; without it the extractive reader answers.")]
Adapter = Annotated[str | None, typer.Option(help="PEFT adapter of the model.")]
Quantize = Annotated[str | None, typer.Option(help="nf4 loads the model in 4 bits.")]


def register(app: typer.Typer) -> None:
    """Hang the verb under ``radrag``."""
    app.command()(ask)


def ask(
    index: Folder,
    question: Annotated[str, typer.Argument(help="The question.")],
    k: Annotated[int, typer.Option("-k", help="Passages to retrieve.")] = 8,
    model: Model = None,
    adapter: Adapter = None,
    quantize: Quantize = None,
    no_retrieval: Annotated[bool, typer.Option("--no-retrieval", help="The baseline: the question alone.")] = False,
    as_json: Json = False,
) -> None:
    """Answer a question with sources. Exits with 3 if there is no answer."""
    from radrag.indexes.hybrid import HybridIndex
    from radrag.pipelines.qa import QAPipeline

    with HybridIndex.open(index) as opened:
        qa = QAPipeline(opened, generator(model, adapter, quantize), k=k)
        answer = (qa.without_retrieval() if no_retrieval else qa)(question)
    show(answer.to_dict(), str(answer), as_json)
    if answer.abstained:
        raise typer.Exit(ABSTAINED)


def generator(model: str | None, adapter: str | None, quantize: str | None) -> Any:
    """Load a Llama, or return None if no model is named."""
    if model is None:
        if adapter or quantize:
            raise typer.BadParameter("--adapter and --quantize need --model")
        return None
    if quantize not in (None, "nf4"):
        raise typer.BadParameter(f"--quantize must be nf4, got {quantize}")
    from radrag.generation.llama import LlamaGenerator

    return LlamaGenerator(model, adapter, quantize="nf4" if quantize else None, local_files_only=Path(model).exists())
