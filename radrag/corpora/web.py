"""Asking a public server politely: a pause between requests, and retries that wait longer each time."""

from __future__ import annotations

import errno
import http.client
import random
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, TypeVar

from radrag._version import __version__
from radrag.errors import CorpusError

T = TypeVar("T")
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOST = (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException)
_UNREACHABLE = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH})
_LONGEST_WAIT = 300.0
_BLOCK = 1 << 18
_SHOWN = 300


class ShortReadError(Exception):
    """A response ended before it was whole; asking again may help."""


class RefusedError(CorpusError):
    """A server answered that asking again will not help.

    Args:
        message: What it answered.
        code: Its HTTP status.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to what anyone on the way can read or alter, and never with a form.

    urllib would send a form's address again without the form.
    """

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        allowed = ("https://",) if req.type == "https" else ("https://", "http://")
        if req.data is not None or not newurl.lower().startswith(allowed):
            fp.close()
            message = f"{req.full_url}: the server answered {code} and sends on to {newurl}, which is not followed"
            raise RefusedError(f"{message}; check it, and give that address instead", code)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(slots=True)
class Web:
    """Asks servers over HTTP, one request at a time.

    Attributes:
        interval: Least time between the starts of two requests, in seconds.
        attempts: How often a request is made before it is given up.
        timeout: Longest silence of the server, in seconds.
        slowest: Least bytes a second, on average over each ``timeout``, that a response must bring.
        first_wait: Pause before the second attempt, in seconds; each further pause is twice as long, and every one is
            lengthened by up to a half, so that many clients do not return at once. A Retry-After header that is longer
            counts instead; one of more than five minutes ends the attempts.
        hidden: Text that is left out of messages, such as an API key.
        sleep: Waits; a test's own can do without.
        clock: Seconds that only go forward.
        seed: Seed of the pauses' lengths.
    """

    interval: float = 0.34
    attempts: int = 6
    timeout: float = 60.0
    slowest: float = 500.0
    first_wait: float = 1.0
    hidden: str = ""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    seed: int = 0
    _random: random.Random = field(init=False, repr=False)
    _next: float = field(init=False, repr=False, default=float("-inf"))

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")
        self._random = random.Random(self.seed)

    def ask(self, request: Callable[[], urllib.request.Request], use: Callable[[http.client.HTTPResponse], T]) -> T:
        """Make a request until its response was used without a failure of the connection or of the server.

        Args:
            request: Makes the request, anew for each attempt.
            use: Reads the response. ``ShortReadError`` from it counts as a failure that another attempt may mend.

        Raises:
            RefusedError: If the server refuses.
            CorpusError: If every attempt failed, or the server asks for a long pause.
        """
        reason, wait = "", 0.0
        opener = urllib.request.build_opener(_Redirects)
        for attempt in range(1, self.attempts + 1):
            made = request()
            self._take_turn()
            try:
                with opener.open(made, timeout=self.timeout) as response:
                    return use(response)
            except RefusedError as error:  # of a redirect, whose address may repeat what is hidden
                raise RefusedError(self.masked(str(error)), error.code) from None
            except urllib.error.HTTPError as error:
                with error:
                    reason = self._reason(error)
                    wait = _retry_after(error.headers.get("Retry-After"))
                if error.code not in _RETRIED:
                    raise RefusedError(self._message(made, reason), error.code) from None
            except (*_LOST, ShortReadError) as error:
                reason, wait = str(getattr(error, "reason", error)) or type(error).__name__, 0.0
            except OSError as error:
                if error.errno not in _UNREACHABLE:
                    raise
                reason, wait = str(error), 0.0
            if wait > _LONGEST_WAIT:
                raise CorpusError(self._message(made, f"{reason}; it asks for a pause of {wait:.0f} s: try again then"))
            if attempt < self.attempts:
                backoff = self.first_wait * 2 ** (attempt - 1) * (1 + self._random.random() / 2)
                self.sleep(max(min(backoff, _LONGEST_WAIT), wait))
        raise CorpusError(self._message(made, f"{reason} ({self.attempts} attempts); try again later"))

    def read(self, url: str, data: dict[str, str] | None = None) -> bytes:
        """Return the whole response to a GET, or to a POST of a form.

        Raises:
            CorpusError: If the server refuses, or every attempt failed.
        """
        form = None if data is None else urllib.parse.urlencode(data).encode("ascii")
        return self.ask(lambda: request_for(url, form=form), self.whole)

    def blocks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """Yield what a response brings, as it comes.

        Raises:
            ShortReadError: If it ends too soon, or trickles.
        """
        begin, total, recent = self.clock(), 0, 0
        while block := response.read1(_BLOCK):
            yield block
            total, recent = total + len(block), recent + len(block)
            if (passed := self.clock() - begin) >= self.timeout:
                if recent < self.slowest * passed:
                    raise ShortReadError(f"only {recent} bytes came in {passed:.0f} s")
                begin, recent = self.clock(), 0
        if response.length:
            raise ShortReadError(f"the response ended after {total} of {total + response.length} bytes")

    def whole(self, response: http.client.HTTPResponse) -> bytes:
        """Return all of a response.

        Raises:
            ShortReadError: If it ends too soon, or trickles.
        """
        return b"".join(self.blocks(response))

    def _take_turn(self) -> None:
        wait = self._next - self.clock()
        if wait > 0:
            self.sleep(wait)
        self._next = self.clock() + self.interval

    def _reason(self, error: urllib.error.HTTPError) -> str:
        try:
            said = self.masked(" ".join(error.read(4 * _SHOWN).decode("utf-8", "replace").split()))
        except _LOST:
            said = ""
        plain = "" if said.startswith("<") else said[:_SHOWN]
        return f"the server answered {error.code} {error.reason}{': ' if plain else ''}{plain}"

    def _message(self, request: urllib.request.Request, reason: str) -> str:
        return self.masked(f"{request.full_url}: {reason}")

    def masked(self, text: str) -> str:
        """Return text without what is hidden."""
        return text.replace(self.hidden, "...") if self.hidden else text


def request_for(url: str, headers: dict[str, str] | None = None, form: bytes | None = None) -> urllib.request.Request:
    """Return a request that says who asks.

    Raises:
        ValueError: If the address is not one of http or https.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"expected an address that starts with https:// or http://, got {url!r}")
    return urllib.request.Request(url, data=form, headers={"User-Agent": f"radrag/{__version__}", **(headers or {})})


def _retry_after(value: str | None) -> float:
    """Return the seconds that a Retry-After header asks for, which states them or a date; 0 for none."""
    if not value:
        return 0.0
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (when - datetime.now(UTC)).total_seconds()) if when.tzinfo else 0.0
