"""A judge that is asked in time and within a budget; an unreadable reply is a failure of its kind, never a guess."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from radrag.errors import ModelError, PromptError
from radrag.generation.llamaindex import LlamaIndexGenerator
from radrag.generation.prompts import neutralise
from radrag.protocols import Generator
from radrag.types import Chat, Generation, GenerationParams, Message

T = TypeVar("T")

FAILURES = {
    "timeout": "no reply in time",
    "unreachable": "no connection, or the server was busy or broken",
    "refused": "the server or the model declined",
    "too long": "the prompt does not fit the model",
    "failed": "the model raised another error",
    "empty": "nothing was written, or lists without entries",
    "cut off": "the reply reached its length limit",
    "broken JSON": "the reply holds no JSON object, or several",
    "wrong shape": "JSON of another form than was asked for",
    "budget": "not asked, as the token budget was used up",
    "given up": "not asked, as the judge had failed too often in a row",
    "undefined": "the metric gave no finite number, or one out of its range",
}
_AGAIN = frozenset({"timeout", "unreachable", "empty", "broken JSON", "wrong shape"})
_DOWN = frozenset({"timeout", "unreachable", "refused"})
_NOT_ASKED = frozenset({"budget", "given up"})
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


class JudgeFailure(ModelError):
    """A judge gave nothing that can be used.

    Args:
        kind: A key of ``FAILURES``.
        detail: What happened.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Limits:
    """How a judge may be asked.

    Attributes:
        timeout: Seconds for one reply.
        retries: Further tries after a failure that another try may mend.
        wait: Seconds before the first further try at a server that cannot be reached; doubles with each.
        reply_tokens: Upper bound on the tokens of one reply.
        max_tokens: Upper bound on all tokens read and written; None is no bound.
        temperature: 0 is greedy.
        give_up_after: Tries in a row without any reply after which the judge is not asked again.
    """

    timeout: float = 60.0
    retries: int = 2
    wait: float = 0.5
    reply_tokens: int = 2048
    max_tokens: int | None = None
    temperature: float = 0.0
    give_up_after: int = 5

    def __post_init__(self) -> None:
        least: Mapping[str, float] = {"retries": 0, "wait": 0, "temperature": 0, "reply_tokens": 1, "give_up_after": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be at least {bound:g}, got {getattr(self, name)}")
        if self.timeout <= 0 or (self.max_tokens is not None and self.max_tokens < 1):
            raise ValueError(f"timeout and max_tokens must be above 0, got {self.timeout} and {self.max_tokens}")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a judge was asked, and what that took.

    Attributes:
        requests: Requests that were sent, further tries among them.
        tokens: Tokens read and written.
        estimated: Requests whose tokens were not stated and are taken as a third of the characters.
        mended: Failures that a further try mended, by kind.
        stopped: Why the judge was no longer asked; "" if it was to the end.
    """

    requests: int = 0
    tokens: int = 0
    estimated: int = 0
    mended: Mapping[str, int] | None = None
    stopped: str = ""


class Judge:
    """Asks a generator within limits; safe to use from several threads.

    A local model answers one request at a time: after a timeout, the next request waits for the one that hangs.
    """

    def __init__(self, generator: Generator, limits: Limits) -> None:
        self._generator, self._limits = generator, limits
        self._lock = threading.Lock()
        self._hung: threading.Thread | None = None
        self._requests = self._tokens = self._estimated = self._silent = 0
        self._mended: Counter[str] = Counter()
        self._stopped = ""

    @property
    def fingerprint(self) -> str:
        """What the generator is known by."""
        return str(getattr(self._generator, "fingerprint", type(self._generator).__name__))

    @property
    def concurrent(self) -> bool:
        """Whether it can be asked by several threads at once."""
        return bool(getattr(self._generator, "concurrent", False))

    @property
    def usage(self) -> Usage:
        """What it took so far."""
        with self._lock:
            return Usage(
                self._requests, self._tokens, self._estimated, dict(sorted(self._mended.items())), self._stopped
            )

    def ask(self, prompt: str, read: Callable[[str], T], seed: int = 0) -> T:
        """Return what ``read`` makes of the reply.

        Args:
            prompt: The user's turn.
            read: Takes the reply, and raises ``JudgeFailure`` if it cannot be used.
            seed: Seed of the sampler; further tries add 1.

        Raises:
            JudgeFailure: If no try gave a usable reply.
        """
        chat, limits = (Message("user", neutralise(prompt)),), self._limits
        failed: list[JudgeFailure] = []
        while True:
            params = GenerationParams(limits.reply_tokens, limits.temperature, seed + len(failed))
            try:
                found = read(self._reply(chat, params))
            except JudgeFailure as failure:
                if failure.kind in _NOT_ASKED and failed:
                    raise failed[-1] from failure  # what went wrong, not why there was no other try
                failed.append(failure)
                if failure.kind not in _AGAIN or len(failed) > limits.retries:
                    raise
                if failure.kind == "unreachable":
                    time.sleep(limits.wait * 2 ** (len(failed) - 1))
            else:
                with self._lock:
                    self._mended.update(failure.kind for failure in failed)
                return found

    def _reply(self, chat: Chat, params: GenerationParams) -> str:
        size = self._size(chat)
        self._reserve(size + params.max_new_tokens)
        used, silent, known = size, False, False
        try:
            made = self._in_time(chat, params)
            known = made.prompt_tokens is not None and made.new_tokens is not None
            used = (made.prompt_tokens or 0) + (made.new_tokens or 0) if known else size + -(-len(made.text) // 3)
        except JudgeFailure as failure:
            silent = failure.kind in _DOWN
            if failure.kind == "timeout":  # it may still be writing: count what it can take
                used += params.max_new_tokens
            elif failure.kind == "too long":  # found before anything was read
                used, known = 0, True
            raise
        finally:
            self._settle(size + params.max_new_tokens, used, silent, known)
        if not made.text.strip():
            raise JudgeFailure("empty", "the judge wrote nothing")
        if not made.finished:
            raise JudgeFailure("cut off", f"the reply reached {params.max_new_tokens} tokens; give more reply_tokens")
        return made.text

    def _size(self, chat: Chat) -> int:
        count = getattr(self._generator, "count", None)
        return int(count(chat)) if callable(count) else sum(-(-len(turn.content) // 3) for turn in chat)

    def _reserve(self, tokens: int) -> None:
        most = self._limits.max_tokens
        with self._lock:
            if self._stopped:
                raise JudgeFailure("budget" if "budget" in self._stopped else "given up", self._stopped)
            if most is not None and self._tokens + tokens > most:
                self._stopped = (
                    f"the budget of {most:,} tokens cannot hold another request ({self._tokens:,} used, up to "
                    f"{tokens:,} needed); raise max_tokens or lower reply_tokens"
                )
                raise JudgeFailure("budget", self._stopped)
            self._tokens += tokens
            self._requests += 1

    def _settle(self, reserved: int, used: int, silent: bool, known: bool) -> None:
        with self._lock:
            self._tokens += used - reserved
            self._estimated += not known
            self._silent = self._silent + 1 if silent else 0
            if self._silent >= self._limits.give_up_after and not self._stopped:
                self._stopped = f"the judge gave no reply {self._silent} times in a row; see that it runs"

    def _in_time(self, chat: Chat, params: GenerationParams) -> Generation:
        limit, box = self._limits.timeout, queue.SimpleQueue[Generation | BaseException]()
        if self._hung is not None and not self.concurrent:
            self._hung.join(limit)
            if self._hung.is_alive():
                raise JudgeFailure("timeout", f"the judge is still at an earlier request after another {limit:g} s")

        def work() -> None:
            try:
                box.put(self._generator.generate([chat], params)[0])
            except BaseException as error:
                box.put(error)

        thread = threading.Thread(target=work, daemon=True, name="radrag-judge")
        thread.start()
        try:
            made = box.get(timeout=limit)
        except queue.Empty:
            self._hung = thread
            raise JudgeFailure("timeout", f"the judge did not reply within {limit:g} s") from None
        if isinstance(made, BaseException):
            raise _named(made) from made
        return made


def _named(error: BaseException) -> JudgeFailure:
    """Return an error of a generator as a failure of its kind."""
    if isinstance(error, JudgeFailure):
        return error
    if isinstance(error, PromptError):
        return JudgeFailure("too long", str(error))
    causes = [error, *(cause for cause in (error.__cause__, error.__context__) if cause is not None)]
    names = " ".join(kind.__name__ for cause in causes for kind in type(cause).__mro__)
    kind = "timeout" if "Timeout" in names else "unreachable" if "Connect" in names else "failed"
    return JudgeFailure(kind, f"{type(error).__name__}: {error}")


def as_generator(judge: Any) -> Generator:
    """Return whatever can judge as a generator: a ``Generator``, a ``ChatServer`` or a llama-index LLM.

    Raises:
        TypeError: If it is none of these.
    """
    if callable(getattr(judge, "generate", None)):
        found: Generator = judge
        return found
    if hasattr(judge, "chat") and hasattr(judge, "metadata"):
        return LlamaIndexGenerator(judge)
    raise TypeError(
        f"{type(judge).__name__} cannot judge; expected a Generator such as LlamaGenerator, a llama-index LLM, or "
        "ChatServer(url, model) for an OpenAI-compatible address"
    )


def read_json(text: str) -> dict[str, Any]:
    """Return the one JSON object of a reply; a fence and words around it are allowed.

    Raises:
        JudgeFailure: If there is no object, or more than one.
    """
    fenced = _FENCE.findall(text)
    body = fenced[0] if len(fenced) == 1 else text
    start = body.find("{")
    if start < 0:
        raise JudgeFailure("broken JSON", f"no JSON object in the reply: {text.strip()[:60]!r}")
    try:
        value, end = json.JSONDecoder().raw_decode(body, start)
    except (ValueError, RecursionError) as error:
        raise JudgeFailure("broken JSON", f"{error}: {text.strip()[:60]!r}") from error
    if "{" in body[end:]:
        raise JudgeFailure("broken JSON", f"more than one JSON object in the reply: {text.strip()[:60]!r}")
    made: dict[str, Any] = value
    return made
