"""Options that several verbs of ``radrag evaluate`` share: each list stands here once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from radrag.cli.app import fail
from radrag.cli.ask import Adapter, Model, Quantize, generator
from radrag.cli.index import Json

if TYPE_CHECKING:
    from radrag.types import GenerationParams

Seed = Annotated[int, typer.Option(help="Seed of the resampling.")]
Keep = Annotated[
    Path | None,
    typer.Option(
        "--keep", help="File to keep answers in (.jsonl); a run that was stopped goes on. It holds the texts."
    ),
]
Report = Annotated[
    list[Path] | None,
    typer.Option("--report", help="Write the report here: .html, .md or .json; its chart: .svg. May be repeated."),
]
Sha = Annotated[str | None, typer.Option("--sha256", help="What the file's hash must be; it is printed otherwise.")]
IndexOption = Annotated[Path | None, typer.Option("--index", help="Folder of an index; by default of what ships.")]
Controls = Annotated[
    bool,
    typer.Option("--controls", help="Also without each question's own source, and with one part changed at a time."),
]
AnswerAll = Annotated[
    bool,
    typer.Option("--answer-all", help="Never decline for want of evidence: official rules count that as wrong."),
]
Passages = Annotated[int, typer.Option("-k", help="Passages to retrieve.")]


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes the answers."""

    model: Model = None
    adapter: Adapter = None
    quantize: Quantize = None
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens that the model writes in an answer.")] = None

    def load(self) -> Any:
        """Return the generator, or None if there is no model."""
        return generator(self.model, self.adapter, self.quantize)

    @property
    def params(self) -> GenerationParams | None:
        """How it decodes; None for the usual way."""
        from radrag.types import GenerationParams

        if self.max_tokens is None:
            return None
        if self.max_tokens < 1:
            fail(f"--max-tokens must be at least 1, got {self.max_tokens}")
        return GenerationParams(max_new_tokens=self.max_tokens)


@dataclass(frozen=True, slots=True)
class NeededWriter(Writer):
    """Who writes the answers, where the extractive reader cannot."""

    model: Annotated[str | None, typer.Option(help="Causal LM by name or path.")]


@dataclass(frozen=True, slots=True)
class Run:
    """How a benchmark is run and where its results go."""

    seed: Seed = 0
    keep: Keep = None
    report: Report = None
    as_json: Json = False


def folded(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb for typer in which each parameter that is a dataclass of options stands as these options."""
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = []
    for parameter in inspect.signature(verb).parameters.values():
        kind = groups.get(parameter.name)
        if kind is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=parameter.KEYWORD_ONLY))
            continue
        options = get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(
                one.name,
                parameter.KEYWORD_ONLY,
                annotation=options[one.name],
                default=inspect.Parameter.empty if one.default is MISSING else one.default,
            )
            for one in fields(kind)
        ]

    @wraps(verb)
    def flat(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{one.name: given.pop(one.name) for one in fields(kind)})
        verb(**given)

    made: Any = flat
    made.__signature__ = inspect.Signature(parameters)
    made.__annotations__ = {one.name: one.annotation for one in parameters}
    return flat
