"""``radrag ask``: one question, or a conversation."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import ABSTAINED, complain, dumped, fail, shown
from radrag.cli.index import Folder, Json

if TYPE_CHECKING:
    from radrag.pipelines.conversation import Conversation
    from radrag.pipelines.patient import Patient
    from radrag.types import Answer

Model = Annotated[str | None, typer.Option(help="Causal LM by name or path; without it the extractive reader answers.")]
Adapter = Annotated[str | None, typer.Option(help="PEFT adapter of the model.")]
Quantize = Annotated[str | None, typer.Option(help="nf4 loads the model in 4 bits.")]
HELP = (
    "/patient age=34 sex=female pregnant=yes egfr=25 allergy=latex, /patient none, /form list, /form A=CT B=MRI, "
    "/form none, /forget, /quit"
)


class Format(StrEnum):
    """How an answer is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    BIBTEX = "bibtex"


def register(app: typer.Typer) -> None:
    """Hang the verb under ``radrag``."""
    app.command()(ask)


def ask(
    index: Folder,
    question: Annotated[
        str | None, typer.Argument(help="The question; - reads it from standard input, which no shell records.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Passages to retrieve.")] = 8,
    model: Model = None,
    adapter: Adapter = None,
    quantize: Quantize = None,
    no_retrieval: Annotated[bool, typer.Option("--no-retrieval", help="The baseline: the question alone.")] = False,
    chat: Annotated[bool, typer.Option("--chat", help=f"Ask in turns, a line each. Commands: {HELP}.")] = False,
    form: Annotated[
        str | None,
        typer.Option(
            help="What to ask for: text, yesno, choice, factoid, list or summary; auto goes by the wording. In a chat "
            "it holds until /form names another, or none."
        ),
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of a choice, A=TEXT; once for each.")] = None,
    style: Annotated[Format, typer.Option("--format", help="How the answer is printed.")] = Format.TEXT,
    as_json: Json = False,
) -> None:
    """Answer a question with sources. Exits with 3 if there is no answer."""
    from radrag.indexes.hybrid import HybridIndex
    from radrag.pipelines.asking import ask_of
    from radrag.pipelines.qa import QAPipeline

    style = Format.JSON if as_json else style
    if chat and style in (Format.HTML, Format.BIBTEX):
        raise typer.BadParameter(f"--chat prints text, json or markdown, not {style}")
    choices = options(option or [])
    try:
        ask_of(form, choices)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not chat and question is None:
        raise typer.BadParameter("a question is needed, or --chat")
    if question == "-":
        question = sys.stdin.read().strip()
    with HybridIndex.open(index) as opened:
        qa = QAPipeline(opened, generator(model, adapter, quantize), k=k)
        qa = qa.without_retrieval() if no_retrieval else qa
        if chat:
            _Chat(qa.chat(), form, choices, style, model is not None and sys.stdout.isatty()).run(question)
            return
        answer = qa(question or "", form, choices)
    typer.echo(rendered(answer, style).rstrip("\n"))
    if answer.abstained:
        raise typer.Exit(ABSTAINED)


def options(given: Sequence[str]) -> dict[str, str]:
    """Read options such as ``A=aspirin``, by letter."""
    made: dict[str, str] = {}
    for one in given:
        letter, sign, text = one.partition("=")
        if not sign or letter in made:
            raise typer.BadParameter(f"--option is A=TEXT, each letter once, got {one!r}")
        made[letter] = text.strip()
    return made


def rendered(answer: Answer, form: Format) -> str:
    """Return an answer as it is printed."""
    ways = {
        Format.TEXT: lambda: shown(str(answer)),
        Format.JSON: lambda: dumped(answer.to_dict()),
        Format.MARKDOWN: lambda: shown(answer.to_markdown()),
        Format.HTML: lambda: shown(answer.to_html()),
        Format.BIBTEX: lambda: shown(answer.to_bibtex()),
    }
    return ways[form]()


@dataclass(slots=True)
class _Chat:
    """A conversation on the terminal, or from a pipe; JSON comes as one line for each answer.

    Attributes:
        talk: The conversation.
        form: What to ask for, until ``/form`` names another.
        options: Options of a choice, by letter.
        style: How answers are printed.
        streams: Whether a draft is shown while it is written.
    """

    talk: Conversation
    form: str | None
    options: dict[str, str]
    style: Format
    streams: bool

    def run(self, first: str | None) -> None:
        """Answer line after line until the input ends."""
        if first is not None:
            self.turn(first)
        while True:
            line = _line()
            if line is None or line.strip() == "/quit":
                return
            if line.strip():
                self.turn(line.strip())

    def turn(self, line: str) -> None:
        """Carry out a command or answer a question; what is wrong with one line does not end the conversation."""
        from radrag.errors import RadragError

        try:
            if line.startswith("/"):
                self.command(line)
                return
            streamed = self.streams and self.style is Format.TEXT
            answer = self.streamed(line) if streamed else self.talk(line, self.form, self.options)
        except (RadragError, ValueError) as error:
            complain(error)
            return
        if self.style is Format.JSON:
            typer.echo(dumped(answer.to_dict(), None))
        else:
            typer.echo(rendered(answer, self.style).rstrip("\n") + "\n")

    def streamed(self, question: str) -> Answer:
        """Show the draft while it is written, dimmed, for it is not checked yet; return the answer."""
        from radrag.types import Answer

        for piece in self.talk.stream(question, self.form, self.options):
            if isinstance(piece, Answer):
                typer.echo("")
                return piece
            typer.secho(shown(piece), dim=True, nl=False)
        fail("the stream ended without an answer")

    def command(self, line: str) -> None:
        """Carry out a line that begins with a slash.

        Raises:
            ValueError: If there is no such command, or what it names cannot be read.
        """
        name, _, rest = line.partition(" ")
        if name == "/forget":
            self.talk.forget()
        elif name == "/patient":
            self.talk.patient = patient(rest, self.talk.patient)
            known = self.talk.patient.sentence if self.talk.patient else "Patient: nothing is known."
            typer.echo(shown(known), err=True)
        elif name == "/form":
            self.form, self.options = form_of("" if rest.strip() == "none" else rest)
        else:
            raise ValueError(f"unknown command {name}; there are {HELP}")


def form_of(text: str) -> tuple[str | None, dict[str, str]]:
    """Read a form such as ``list``, or options such as ``A=low-dose CT B=MRI``; nothing asks for no form.

    Raises:
        ValueError: If there is no such form, or a choice has fewer than two options.
    """
    from radrag.pipelines.asking import ask_of

    named, *given = re.split(r"(?:^|\s+)(?=[A-Z]=)", text.strip())
    made: dict[str, str] = {}
    for one in given:
        letter, _, words = one.partition("=")
        if letter in made:
            raise ValueError(f"option {letter} is given twice; give each letter once, such as /form A=CT B=MRI")
        made[letter] = words.strip()
    form = named.strip() or None
    ask_of(form, made)
    return form, made


def _line() -> str | None:
    """Return the next line, or None at the end of the input."""
    if sys.stdin.isatty():
        typer.echo("> ", nl=False)
    line = sys.stdin.readline()
    return line or None


def patient(text: str, before: Patient | None = None) -> Patient | None:
    """Read facts such as ``age=34 sex=female pregnant=yes egfr=25 allergy=iodinated contrast``; None for no fact.

    Args:
        text: The facts; ``none`` forgets all.
        before: Facts that stay, unless told anew.

    Raises:
        ValueError: If a name or value cannot be read; values are not repeated in the message.
    """
    from radrag.pipelines.patient import Patient

    if text.strip() == "none":
        return None
    pairs: list[list[str]] = []
    for word in text.split():
        if "=" in word:
            pairs.append(list(word.split("=", 1)))
        elif pairs:
            pairs[-1][1] += f" {word}"
        else:
            raise ValueError("facts are written as name=value, such as age=34")
    single = [name for name, _ in pairs if name not in ("allergy", "prior")]
    if len(set(single)) < len(single):
        raise ValueError("a fact is given twice; give each once (allergy and prior may be repeated)")
    facts: dict[str, Any] = {}
    for name, value in pairs:
        listed = {"allergy": "allergies", "prior": "prior_studies"}.get(name)
        if listed:
            facts[listed] = (*facts.get(listed, ()), value)
        else:
            facts[name] = _fact(name, value)
    known = {} if before is None else before.known
    return Patient(**known | facts) if known or facts else None


def _fact(name: str, value: str) -> Any:
    if name in ("age", "egfr"):
        return _number(name, value)
    if name == "pregnant" and value not in ("yes", "no"):
        raise ValueError("pregnant must be yes or no")
    if name not in ("pregnant", "sex"):
        raise ValueError(f"cannot read {name}: there are age, sex, pregnant=yes|no, egfr, allergy and prior")
    return value == "yes" if name == "pregnant" else value


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name} must be a number") from None


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
