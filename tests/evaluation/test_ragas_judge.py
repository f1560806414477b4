"""Judges that fail: a local server that does each, and the run that ends with the failures counted by kind."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.errors import ModelError, PromptError
from radrag.evaluation.chat_server import ChatServer
from radrag.evaluation.judge import FAILURES, Judge, JudgeFailure, Limits, as_generator, read_json
from radrag.evaluation.ragas_runs import evaluate_ragas
from radrag.generation.scripted import ScriptedGenerator
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Answer, Chat, Claim, Document, Generation, GenerationParams, Hit, Message, Passage, Question

ASKED = (Message("user", "Is it so?"),)
GOOD = '{"statements": ["Salt is bad."]}'


class Server:
    """An OpenAI-compatible server on this machine that replies as ``reply`` says.

    Attributes:
        reply: Takes the prompt, and gives the text of a reply, a whole body, or a status; None hangs.
        seen: What was asked: path, key and body.
    """

    def __init__(self) -> None:
        self.reply: Callable[[str], str | bytes | int | None] = lambda prompt: GOOD
        self.finish = "stop"
        self.seen: list[tuple[str, str | None, dict[str, Any]]] = []
        self.closed = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.seen.append((self.path, self.headers["Authorization"], body))
                said = owner.reply(body["messages"][-1]["content"])
                if said is None:
                    owner.closed.wait(20)
                    return
                if isinstance(said, int):
                    self.send_response(said)
                    self.send_header("Location", "http://192.0.2.1/v1/chat/completions")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = said if isinstance(said, bytes) else owner.body(said)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                """Stay quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def body(self, text: str) -> bytes:
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": self.finish}
        return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 30, "completion_tokens": 10}}).encode()

    def close(self) -> None:
        self.closed.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


def wrong(generate: Callable[[], object]) -> str:
    """Return the kind of the failure."""
    with pytest.raises(JudgeFailure) as caught:
        generate()
    assert caught.value.kind in FAILURES
    return caught.value.kind


def test_a_server_is_asked_as_openai_would_be(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_JUDGE_KEY", "secret")
    made = ChatServer(server.url + "/", "small", key_env="MY_JUDGE_KEY")
    params = GenerationParams(7, 0.5, 3, ("###",))
    assert made.generate([ASKED], params) == [Generation(GOOD, True, 30, 10)]
    path, key, body = server.seen[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert body == {
        "model": "small", "messages": [{"role": "user", "content": "Is it so?"}], "temperature": 0.5, "max_tokens": 7,
        "seed": 3, "stop": ["###"],
    }  # fmt: skip
    assert "secret" not in made.fingerprint
    assert made.local


def test_no_key_is_sent_or_looked_for_unless_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    ChatServer(server.url, "small").generate([ASKED])
    assert server.seen[0][1] is None
    with pytest.raises(ValueError, match="'NO_SUCH_KEY', which is not set"):
        ChatServer(server.url, "small", key_env="NO_SUCH_KEY")
    for url in ("", "api.openai.com", "ftp://127.0.0.1/v1", "http://user:word@127.0.0.1/v1"):
        with pytest.raises(ValueError, match="url must be an address"):
            ChatServer(url, "small")


def test_no_proxy_sees_what_is_meant_for_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert ChatServer(server.url, "small").generate([ASKED])[0].text == GOOD


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (403, "refused"),
        (400, "refused"),
        (302, "refused"),  # a redirect is not followed
        (307, "refused"),
        (429, "unreachable"),
        (503, "unreachable"),
        (b"", "empty"),
        (b"<html>", "broken JSON"),
        (b'{"choices": []}', "wrong shape"),
        (b'{"choices": [{"message": {"content": 7}}]}', "wrong shape"),
        (b'{"choices": [{"message": {"content": null, "refusal": "I will not."}}]}', "refused"),
        (b'{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}', "refused"),
    ],
)
def test_each_failure_of_a_server_has_its_kind(server: Server, reply: bytes | int, kind: str) -> None:
    server.reply = lambda prompt: reply
    assert wrong(lambda: ChatServer(server.url, "small").generate([ASKED])) == kind


def test_a_server_that_hangs_or_is_gone(server: Server) -> None:
    server.reply = lambda prompt: None
    assert wrong(lambda: ChatServer(server.url, "small", timeout=0.1).generate([ASKED])) == "timeout"
    server.close()
    assert wrong(lambda: ChatServer(server.url, "small").generate([ASKED])) == "unreachable"


def sample(count: int = 2) -> tuple[list[Answer], list[Question]]:
    hit = Hit(Passage("d", 0, 12, "Salt is bad."), 1.0)
    answers = [Answer(f"Is it {n}?", (Claim("Salt is bad.", (), True, 1.0),), evidence=(hit,)) for n in range(count)]
    return answers, [Question(f"q{n}", f"Is it {n}?", answer="Salt is bad.") for n in range(count)]


needs_ragas = pytest.mark.skipif(find_spec("ragas") is None, reason="needs the ragas extra")


@needs_ragas
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("{'single': quotes", "broken JSON"),
        ("I think that it is fine.", "broken JSON"),
        (GOOD + GOOD, "broken JSON"),
        ("", "empty"),
        ('{"statements": []}', "empty"),
        ('{"claims": ["Salt is bad."]}', "wrong shape"),
        (403, "refused"),
    ],
)
def test_a_run_ends_with_failures_counted(server: Server, reply: str | int, kind: str) -> None:
    server.reply = lambda prompt: reply
    judge = ChatServer(server.url, "small")
    report = evaluate_ragas(
        *sample(), judge, metrics=["faithfulness", "exact_match"], retries=1, check=False, repeats=2
    )
    row = report["faithfulness"]
    assert (row.failures, row.n, row.asked, row.value) == ({kind: 4}, 0, 2, None)
    assert report.failures == {kind: 4}
    assert report["exact_match"].value == 1.0  # what needs no judge goes on
    assert report.items[0].failures["faithfulness"] == (kind, kind)
    assert len(server.seen) == (4 if kind == "refused" else 8)  # a refusal is not asked again
    assert f"| {kind} | 4 |" in report.to_markdown()
    assert "100% could not be scored" in row.note


@needs_ragas
def test_a_judge_that_hangs_is_given_up(server: Server) -> None:
    server.reply = lambda prompt: None
    report = evaluate_ragas(*sample(5), ChatServer(server.url, "small"), metrics="faithfulness", timeout=0.1, retries=1)
    assert len(server.seen) <= 5  # of the 70 that check and run would send
    assert report["faithfulness"].failures == {"given up": 5}
    assert report.check is not None
    assert report.check.failures == {"given up": 27, "timeout": 3}  # the third's second try was not made
    assert report.check.kappa is None
    assert not report.believed
    assert report.usage is not None
    assert "no reply 5 times in a row" in report.usage.stopped
    assert "see that it runs" in str(report)


@needs_ragas
def test_fewer_verdicts_than_statements_are_no_score(server: Server) -> None:
    """The arithmetic of ragas would give 1 of 1."""
    verdict = '{"statements": [{"statement": "a", "reason": "", "verdict": 1}]}'
    two = '{"statements": ["Salt is bad.", "Salt is good."]}'
    server.reply = lambda prompt: verdict if '"context":' in prompt.rpartition("input: ")[2] else two
    report = evaluate_ragas(*sample(), ChatServer(server.url, "s"), metrics="faithfulness", retries=0, check=False)
    assert report["faithfulness"].failures == {"wrong shape": 2}


@needs_ragas
@pytest.mark.parametrize("verdict", [2, -1, 7])
def test_verdicts_other_than_0_and_1_are_no_score(server: Server, verdict: int) -> None:
    """The arithmetic of ragas would give more than 1."""
    server.reply = lambda prompt: json.dumps({"reason": "", "verdict": verdict})
    report = evaluate_ragas(*sample(), ChatServer(server.url, "s"), metrics="context_precision", retries=0, check=False)
    assert report["context_precision"].failures == {"wrong shape": 2}


@needs_ragas
def test_the_budget_stops_the_run_and_says_so(server: Server) -> None:
    server.reply = lambda prompt: '{"reason": "", "verdict": 1}'
    judge = ChatServer(server.url, "small")
    answers, questions = sample(6)
    options = {"metrics": "context_precision", "check": False, "reply_tokens": 100}
    whole = evaluate_ragas(answers, questions, judge, **options)
    assert whole.usage is not None
    assert (whole.usage.requests, whole.usage.tokens, whole.usage.estimated) == (6, 240, 0)
    room = len(server.seen[0][2]["messages"][0]["content"]) // 3 + 1 + 100  # a request as it is foreseen
    report = evaluate_ragas(answers, questions, judge, max_tokens=room + 2 * 40, **options)
    row = report["context_precision"]
    assert (row.n, row.asked, row.failures) == (3, 6, {"budget": 3})
    assert report.usage is not None
    assert report.usage.tokens <= room + 2 * 40
    assert "raise max_tokens" in report.usage.stopped
    assert "50% could not be scored" in row.note


@needs_ragas
def test_several_workers_give_what_one_gives(server: Server) -> None:
    server.reply = lambda prompt: json.dumps({"reason": "", "verdict": int("Is it 1" in prompt or "Is it 3" in prompt)})
    made = [
        evaluate_ragas(
            *sample(6), ChatServer(server.url, "s"), metrics="context_precision", workers=workers, check=False
        )
        for workers in (1, 4)
    ]
    assert made[0] == made[1]
    assert made[0]["context_precision"].value == pytest.approx(1 / 3)


@needs_ragas
def test_a_judge_elsewhere_sees_no_identifiers(server: Server, tmp_path: Path) -> None:
    server.reply = lambda prompt: '{"reason": "", "verdict": 1}'
    with HybridIndex.create(tmp_path / "index") as index:
        index.add([Document("note", "MRN: 4471882 has salt."), Document("d", "Call 555-867-5309.", kind="digest")])
        hits = tuple(Hit(Passage(one.id, 0, len(one.text), one.text), 1.0) for one in index.documents())
        answers = [Answer("Is MRN: 4471882 ill?", (Claim("Yes.", (), True, 1.0),), evidence=hits)]
        asked = [Question("q", "Is MRN: 4471882 ill?", answer="Yes.")]
        for local in (True, False):
            judge = ChatServer(server.url, "small", local=local)
            report = evaluate_ragas(answers, asked, judge, metrics="context_precision", check=False, index=index)
            prompts = [body["messages"][0]["content"] for _, _, body in server.seen[-2:]]
            assert any("4471882" in prompt for prompt in prompts) is local
            assert "555-867-5309" in prompts[1]  # published
            assert ("Masked before" in str(report)) is not local
            assert report["context_precision"].value == 1.0


@needs_ragas
@pytest.mark.slow
def test_a_llama_index_llm_judges() -> None:
    pytest.importorskip("llama_index.core")
    from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
    from llama_index.core.llms.callbacks import llm_completion_callback

    class Fixed(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(model_name="fixed")

        @llm_completion_callback()
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            return CompletionResponse(text='{"reason": "", "verdict": 1}')

        @llm_completion_callback()
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            raise NotImplementedError

    report = evaluate_ragas(*sample(), Fixed(), metrics="context_precision", check=False)
    assert (report["context_precision"].value, report["context_precision"].n) == (1.0, 2)
    assert report.manifest["judge"] == "llama-index:Fixed:fixed"
    assert report.usage is not None
    assert report.usage.estimated == 2


def test_what_cannot_judge_is_refused() -> None:
    with pytest.raises(TypeError, match="ChatServer"):
        as_generator("http://127.0.0.1:8000/v1")


def read(text: str) -> str:
    if text == "bad":
        raise JudgeFailure("broken JSON", text)
    return text


def test_another_try_mends_and_is_counted() -> None:
    judge = Judge(ScriptedGenerator(["bad", "", "good"]), Limits(retries=2))
    assert judge.ask("?", read) == "good"
    assert judge.usage.mended == {"broken JSON": 1, "empty": 1}
    assert judge.usage.requests == 3


class Failing:
    """Raises what it is told to."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)

    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        raise self.errors.pop(0)


def caused(cause: Exception) -> ModelError:
    error = ModelError("the LLM failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PromptError("9,000 tokens"), "too long"),
        (caused(TimeoutError()), "timeout"),
        (caused(ConnectionRefusedError()), "unreachable"),
        (RuntimeError("no"), "failed"),
    ],
)
def test_errors_of_a_generator_have_their_kind(error: Exception, kind: str) -> None:
    assert wrong(lambda: Judge(Failing(error), Limits(retries=0)).ask("?", read)) == kind


def test_tokens_that_are_not_stated_are_estimated() -> None:
    judge = Judge(ScriptedGenerator(["123456"]), Limits())
    judge.ask("12345", read)
    assert (judge.usage.tokens, judge.usage.estimated) == (2 + 2, 1)
    late = Judge(Failing(TimeoutError(), PromptError("too long")), Limits(retries=0, reply_tokens=100))
    assert wrong(lambda: late.ask("12345", read)) == "timeout"
    assert late.usage.tokens == 102  # it may have written all it could
    assert wrong(lambda: late.ask("12345", read)) == "too long"
    assert late.usage.tokens == 102


def test_a_reply_that_was_cut_off_is_not_read() -> None:
    class Cut:
        def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
            return [Generation('{"a": 1}', finished=False)]

    assert wrong(lambda: Judge(Cut(), Limits()).ask("?", read)) == "cut off"


def test_a_local_model_is_never_asked_twice_at_once() -> None:
    freed, running, most = threading.Event(), [0], [0]

    class Slow:
        def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
            running[0] += 1
            most[0] = max(most[0], running[0])
            freed.wait(10)
            running[0] -= 1
            return [Generation("late")]

    judge = Judge(Slow(), Limits(timeout=0.05, retries=3))
    assert wrong(lambda: judge.ask("?", read)) == "timeout"
    assert most == [1]
    freed.set()
    assert judge.ask("?", read) == "late"


def test_a_success_starts_the_count_of_silence_anew() -> None:
    class Now:
        turn = 0

        def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
            self.turn += 1
            if self.turn % 2:
                raise ConnectionResetError
            return [Generation("good")]

    judge = Judge(Now(), Limits(retries=1, wait=0, give_up_after=2))
    assert [judge.ask("?", read) for _ in range(4)] == ["good"] * 4
    assert judge.usage.stopped == ""


@pytest.mark.parametrize(
    "text", ['{"a": {"b": [1, 2]}}', '```json\n{"a": {"b": [1, 2]}}\n```', 'So: {"a": {"b": [1, 2]}} Good.']
)
def test_one_object_is_found(text: str) -> None:
    assert read_json(text) == {"a": {"b": [1, 2]}}


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_text_is_an_object_or_a_failure(text: str) -> None:
    with suppress(JudgeFailure):
        assert isinstance(read_json(text), dict)


def test_deep_nesting_is_a_failure() -> None:
    assert wrong(lambda: read_json('{"a":' * 100_000)) == "broken JSON"
