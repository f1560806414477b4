"""The review screen's server: this machine only, one reviewer, nothing from or to any network.

Notes are about patients, so a page of another site, another user of this machine or a name that points here must not
reach them. The server listens on 127.0.0.1; it answers only under that name (a foreign name that resolves to it, DNS
rebinding, is refused); every request for data carries a random token in a header, which a foreign page cannot send and
which is in no cookie (a cookie of 127.0.0.1 goes to every port); nothing is cached; and the page may load nothing but
its own files. The token reaches the page in the fragment of the address, which browsers do not send on.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from radrag.cli.review_session import ReviewSession

ADDRESS = "127.0.0.1"
TOKEN = "X-Review-Token"
_PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_LONGEST_BODY = 64 * 1024
_SECONDS = 30  # a connection that says nothing for longer is closed
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class ReviewServer(ThreadingHTTPServer):
    """Serves a review; ``serve_forever`` until ``shutdown``.

    Args:
        session: What is reviewed.
        port: Port of 127.0.0.1; 0 takes a free one.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, session: ReviewSession, port: int = 0) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(32)
        super().__init__((ADDRESS, port), _Handler)
        folder = files("radrag") / "assets" / "review"
        self.pages = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in _PAGES.items()}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a browser that went away; show anything else."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{ADDRESS}:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """Address to open, with the token."""
        return f"{self.origin}/#{self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    server_version, sys_version = "radrag", ""
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log: names of notes are in the requests."""

    def _answer(self, make: Callable[[], tuple[bytes, str]]) -> None:
        try:
            self._check_host()
            self._send(HTTPStatus.OK, *make())
        except _Refused as error:
            self._error(error.status, str(error))
        except KeyError as error:
            self._error(HTTPStatus.NOT_FOUND, str(error.args[0]))
        except ValueError as error:
            self._error(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                self.close_connection = True  # the browser went away; nobody is left to answer
            else:
                self._error(HTTPStatus.INTERNAL_SERVER_ERROR, f"the decision was not kept: {error}")

    def _get(self) -> tuple[bytes, str]:
        parts = urlsplit(self.path)
        if parts.path in self.server.pages:
            return self.server.pages[parts.path]
        self._check_token()
        session = self.server.session
        if parts.path == "/api/state":
            return _json(session.state())
        if parts.path == "/api/note":
            return _json(session.note(parse_qs(parts.query).get("id", [""])[0]))
        if parts.path == "/api/export":
            rows = (json.dumps(row, ensure_ascii=False) + "\n" for row in session.export())
            return "".join(rows).encode("utf-8"), "application/x-ndjson; charset=utf-8"
        raise _Refused(HTTPStatus.NOT_FOUND, f"there is no page {parts.path!r}")

    def _post(self) -> tuple[bytes, str]:
        body = self._body()
        self._check_token()
        self._check_origin()
        session, path = self.server.session, urlsplit(self.path).path
        if path == "/api/undo":
            return _json(session.undo())
        if path == "/api/decide":
            given = json.loads(body)
            known = ("note_id", "action", "right", "reason")
            if not isinstance(given, dict) or not all(isinstance(given.get(name), str) for name in known):
                raise ValueError(f"expected an object of texts {', '.join(known)}")
            return _json(session.decide(*(given[name] for name in known)))
        raise _Refused(HTTPStatus.NOT_FOUND, f"there is no page {path!r}")

    def _body(self) -> bytes:
        """Read the body before anything is refused, or its rest would be taken for the next request."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST_BODY or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected a body of at most {_LONGEST_BODY} bytes")
        body = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        return body

    def _check_host(self) -> None:
        """Refuse a name that only resolves to this machine."""
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self.close_connection = True
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, f"open this page as {self.server.origin}")

    def _check_token(self) -> None:
        given = self.headers.get(TOKEN, "")
        if not hmac.compare_digest(given.encode("utf-8"), self.server.token.encode("utf-8")):
            raise _Refused(HTTPStatus.FORBIDDEN, "this address lacks the key of the review; open it as it was printed")

    def _check_origin(self) -> None:
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site", "same-origin")
        if origin not in (None, f"http://{self.headers.get('Host')}") or site not in ("same-origin", "none"):
            raise _Refused(HTTPStatus.FORBIDDEN, "decisions are taken from the review page only")

    def _error(self, status: HTTPStatus, message: str) -> None:
        self._send(status, *_json({"error": message}))

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _json(value: object) -> tuple[bytes, str]:
    return json.dumps(value, ensure_ascii=False).encode("utf-8"), "application/json; charset=utf-8"
