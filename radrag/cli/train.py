"""``radrag train``: presets, and the verbs that make the other shipped models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli import tune
from radrag.cli.app import show
from radrag.cli.index import Json
from radrag.cli.presets import Presets

if TYPE_CHECKING:
    from radrag.indexes.token_states import TokenReader
    from radrag.training.reranker import Judged

commands = typer.Typer(
    cls=Presets,
    no_args_is_help=True,
    help="Make models. A preset, also one in a .toml file of yours, is a verb: radrag train PRESET --plan shows what "
    "it would do and take. On several GPUs: accelerate launch -m radrag train PRESET ...",
)
Out = Annotated[Path, typer.Option(help="Folder or file to write.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
PubMedQA = Annotated[Path, typer.Argument(help="PubMedQA development questions, .jsonl or .jsonl.gz.")]


def register(app: typer.Typer) -> None:
    """Hang the verbs under ``radrag``."""
    app.add_typer(commands, name="train")
    tune.register(commands)


@commands.command()
def encoder(
    source: Annotated[
        str, typer.Option("--from", help="minilm, or the folder of a sentence-transformers or static model.")
    ] = "minilm",
    out: Out = Path("runs/encoder"),
    dims: Annotated[int, typer.Option(help="Length of a vector, when token vectors are distilled.")] = 256,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Also tune: .jsonl or .csv with query, passage and, if wanted, negative; or the folder of "
                          "development data, for the encoder that ships."),
    ] = None,
    extra: Annotated[Path | None, typer.Option(help="With a folder: a file of further pairs.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Tune the sentence-transformers model itself.")] = False,
    cache: Annotated[Path | None, typer.Option(help="Keep the teacher's vectors in this file.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the pairs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Pairs a step; all if there are fewer.")] = None,
    seed: Seed = 0,
) -> None:  # fmt: skip
    """Distil a sentence encoder into static token vectors, and tune them on pairs of texts if asked.

    With a folder of development data this makes the encoder that ships: some 60,000 short texts are encoded by the
    teacher first.
    """
    import tempfile

    from radrag.training.contrastive import read_pairs, tune_encoder
    from radrag.training.encoder import distil_encoder
    from radrag.training.sentence_encoder import tune_sentence_encoder

    given: dict[str, Any] = {name: value for name, value in (("epochs", epochs), ("batch", batch)) if value is not None}
    if whole and (pairs is None or pairs.is_dir()):
        raise typer.BadParameter("--whole needs --pairs FILE")
    if (whole or pairs is None) and _is_static(Path(source)):
        raise typer.BadParameter(f"{source} is a static model, which can only be tuned: give --pairs, not --whole")
    if pairs is None:
        distil_encoder(source, out, dims=dims)
    elif whole:
        tune_sentence_encoder(read_pairs(pairs), source, out, seed=seed, **given)
    else:
        with tempfile.TemporaryDirectory() as folder:
            start = Path(source)
            if source == "minilm" or (start / "modules.json").is_file():
                start = distil_encoder(source, Path(folder) / "encoder", dims=dims)
            if pairs.is_dir():
                _tune_shipped(
                    pairs, extra, start, out, cache or Path(folder) / "teacher.sqlite", {"seed": seed, **given}
                )
            else:
                tune_encoder(read_pairs(pairs), start, out, seed=seed, **given)
    typer.echo(f"written to {out}{'' if pairs is None else _told(out)}")


def _told(out: Path) -> str:
    """Say what an encoder was tuned on, and how much of a static one that changed."""
    import json

    facts = json.loads((out / "radrag.json").read_text(encoding="utf-8"))
    changed = f"; {facts['changed']:,} of {facts['tokens']:,} token vectors changed" if "changed" in facts else ""
    return f": {facts['pairs']:,} pairs, {facts['batch']:,} a step{changed}"


def _is_static(folder: Path) -> bool:
    """Whether a folder says that it holds a model2vec model."""
    import json

    config = folder / "config.json"
    try:
        return config.is_file() and json.loads(config.read_text(encoding="utf-8"))["model_type"] == "model2vec"
    except (ValueError, LookupError, TypeError):
        return False


def _tune_shipped(
    data: Path, extra: Path | None, start: Path, out: Path, cache: Path, settings: dict[str, Any]
) -> None:
    from radrag.indexes.embedding_cache import CachedEncoder
    from radrag.indexes.encoders import load_encoder
    from radrag.training.contrastive import read_pairs, shipping_pairs, shipping_texts, tune_encoder

    pairs = [*shipping_pairs(data), *(read_pairs(extra) if extra else ())]
    cache.parent.mkdir(parents=True, exist_ok=True)
    teacher = CachedEncoder(load_encoder("minilm"), cache)
    tune_encoder(pairs, start, out, teacher=teacher, texts=shipping_texts(data), **settings)


@commands.command()
def reranker(
    data: Annotated[Path | None, typer.Argument(help="Folder of development data, for the one that ships.")] = None,
    out: Out = Path("runs/reranker.json"),
    index: Annotated[Path | None, typer.Option(help="Folder of an index of yours, with --questions.")] = None,
    questions: Annotated[
        Path | None, typer.Option(help="Your questions with gold spans, .jsonl as `index tune` reads.")
    ] = None,
    encoders: Annotated[
        list[str] | None, typer.Option("--encoder", help="With DATA: encoders to search with; static if left out.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="With DATA: keep vectors of encoders but static in this folder.")
    ] = None,
    late: Annotated[
        str | None,
        typer.Option(help="Also weigh late interaction, read by static, minilm or the model in a folder."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Fit the learned re-ranker on questions of your own, or on PubMedQA and the shipped questions."""
    from radrag.indexes.token_states import load_reader
    from radrag.training.reranker import fit_reranker
    from radrag.training.reranker_lists import DATA, WITHOUT, WITHOUT_LATE, shipping_lists

    own = index is not None or questions is not None
    if own == (data is not None) or (index is None) != (questions is None):
        raise typer.BadParameter("give a folder of development data, or --index INDEX with --questions FILE")
    if own and (encoders or cache):
        raise typer.BadParameter("--encoder and --cache go with a folder of development data; an index has an encoder")
    given = {"--index": index, "--questions": questions, "--late": late}
    words = [f"{name} {Path(value).name}" for name, value in given.items() if value is not None]
    made: dict[str, Any] = {"command": " ".join(["radrag train reranker", *words])}
    reader = None
    if late is not None:
        late = (
            late if late in ("static", "minilm") else str(Path(late).resolve())
        )  # the file may be read from another folder
        reader = load_reader(late, kept_tokens=2_000_000)
        made["read in"] = reader.dtype
    if index is not None and questions is not None:
        lists, more = _own_lists(index, questions, reader)
        told, without, made = f"questions of {questions.name}", [], {**made, **more}
    else:
        assert data is not None
        lists = shipping_lists(data, encoders or ["static"], cache, reader)
        told, without = DATA, [*WITHOUT, *(WITHOUT_LATE if late is not None else ())]
    _facts(fit_reranker(lists, out, data=told, without=without, late=late, seed=seed, made=made), out, as_json)


def _own_lists(index: Path, questions: Path, reader: TokenReader | None) -> tuple[list[Judged], dict[str, Any]]:
    """Return judged lists, and how many questions there were: those without a right and a wrong hit teach nothing."""
    from radrag.corpora import read_questions
    from radrag.indexes.hybrid import HybridIndex
    from radrag.training.reranker_lists import own_lists

    asked = list(read_questions(questions))
    with HybridIndex.open(index) as opened:
        lists = own_lists(opened, asked, "own questions", reader)
    golden = sum(bool(question.gold) for question in asked)
    return lists, {"questions": len(asked), "with gold spans": golden, "with a right and a wrong hit": len(lists)}


@commands.command()
def sentences(
    data: PubMedQA,
    medquad: Annotated[Path, typer.Argument(help="MedQuAD, .jsonl or .jsonl.gz.")],
    out: Out = Path("runs/sentences.json"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit which sentences the extractive reader answers with; `verdict` is fitted on what it makes."""
    from radrag.corpora import load_evidence, load_protocols, load_questions
    from radrag.training.reader import read_medquad, read_pubmedqa
    from radrag.training.verdict import fit_sentences

    corpus = [*load_protocols(), *load_evidence()]
    facts = fit_sentences(read_pubmedqa(data), read_medquad(medquad), load_questions(), corpus, out, seed=seed)
    _facts(facts, out, as_json)


@commands.command()
def verdict(
    data: PubMedQA,
    sentences: Annotated[
        Path | None, typer.Option("--sentences", help="Sentence model; the one that ships if left out.")
    ] = None,
    out: Out = Path("runs/verdict.json"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit the yes/no/maybe models of the extractive reader, and their baseline that sees the question alone."""
    from radrag.corpora import load_evidence, load_protocols, load_questions
    from radrag.training.reader import read_pubmedqa
    from radrag.training.verdict import fit_verdict

    corpus = [*load_protocols(), *load_evidence()]
    facts = fit_verdict(read_pubmedqa(data), load_questions(), corpus, out, sentences=sentences, seed=seed)
    _facts(facts, out, as_json)


@commands.command()
def confidence(
    data: PubMedQA,
    abstracts: Annotated[
        Path | None,
        typer.Option(help="Folder of development data; its open abstracts are what PubMedQA is searched among."),
    ] = None,
    out: Out = Path("runs/confidence.json"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit the score on which answering or abstaining rests, on PubMedQA and the shipped questions."""
    from radrag.corpora import load_evidence, load_near_misses, load_protocols, load_questions
    from radrag.training.confidence import fit_confidence, open_distractors
    from radrag.training.reader import read_pubmedqa

    corpus = [*load_protocols(), *load_evidence()]
    beside = () if abstracts is None else open_distractors(abstracts)
    records = read_pubmedqa(data)
    near = load_near_misses("development")
    facts = fit_confidence(records, load_questions(), corpus, out, near_misses=near, distractors=beside, seed=seed)
    _facts(facts, out, as_json)


@commands.command()
def verifier(data: PubMedQA, out: Out = Path("runs/verifier.json"), seed: Seed = 0, as_json: Json = False) -> None:
    """Fit the verifier of claims on edited sentences of half of the shipped texts and PubMedQA's development half."""
    from radrag.training.verifier import fit_verifier

    _facts(fit_verifier(data, out, seed=seed), out, as_json)


def _facts(facts: dict[str, Any], out: Path, as_json: bool) -> None:
    show(facts, "\n".join(f"{name}: {value}" for name, value in facts.items()) + f"\nwritten to {out}", as_json)
