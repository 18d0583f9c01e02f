"""What Google's SDK lacks on its `requests` sessions: limits, and a way to stop a blocking read."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from server.llm.http_stream import MAX_BODY_BYTES
from server.llm.port import UpstreamError

_Untyped = Any
"""A response of `requests`, whose types are not installed."""


class Cancel:
    """Cancels a blocking read from another thread: the response, once there is one, is shut."""

    def __init__(self) -> None:
        self.cancelled = False
        self._lock = threading.Lock()
        self._response: Any = None

    def attach(self, response: _Untyped) -> None:
        """Say what to shut; a response that comes after the cancel is closed here."""
        with self._lock:
            self._response = response
            if self.cancelled:
                response.close()

    def cancel(self) -> None:
        """Read no further. May be called from any thread, and again."""
        with self._lock:
            self.cancelled = True
            if self._response is not None:
                with contextlib.suppress(Exception):  # already closed: nothing is left to shut
                    self._response.raw.shutdown()

    def close(self) -> None:
        """Close the response, whose reader has ended; one that was read whole has been already."""
        with self._lock:
            if self._response is not None:
                with contextlib.suppress(Exception):  # a socket that was shut may say so
                    self._response.close()


class _Current(threading.local):
    cancel: Cancel | None = None


CURRENT = _Current()
"""Which answer this thread reads; the session tells its hook nothing of it."""


def guard(session: _Untyped) -> None:
    """Keep a session from proxies and netrc, from compressed and from endless bodies."""
    session.trust_env = False
    session.headers["accept-encoding"] = "identity"
    session.hooks["response"].append(_check)


def _check(response: _Untyped, *args: object, **kwargs: object) -> None:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        response.close()
        raise UpstreamError("malformed", "the model's server sent a compressed answer unasked")
    if response.ok:
        response.iter_content = _bounded(response, CURRENT.cancel)
    if CURRENT.cancel is not None:
        CURRENT.cancel.attach(response)


def _bounded(response: _Untyped, cancel: Cancel | None) -> _Untyped:
    """The response's `iter_content`, which ends on cancel and fails over the limit."""
    read = response.iter_content

    def iter_content(*args: _Untyped, **kwargs: _Untyped) -> Iterator[Any]:
        size = 0
        for chunk in read(*args, **kwargs):
            size += len(chunk)
            # A shut socket still gives what the server goes on to send, so this must be asked.
            if cancel is not None and cancel.cancelled:
                response.close()
                return
            if size > MAX_BODY_BYTES:
                response.close()
                raise UpstreamError("too_large", f"the answer is over {MAX_BODY_BYTES} bytes")
            yield chunk

    return iter_content
