"""Structured logs: one JSON object a line, or coloured lines on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import orjson
import structlog

from server.telemetry.tracing import current

# Noise of libraries that would repeat what our own events say.
_QUIET = {
    "uvicorn.access": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "websockets": logging.WARNING,
    "pypdf": logging.ERROR,
    "uvicorn.error": logging.WARNING,
}


# What strangers could have written as often as they like, the first with a stack. The last is told
# of each handshake that was refused.
_NO_NEWS = (
    "Invalid UTF-8 sequence",
    "Invalid HTTP request",
    "Unsupported upgrade request",
    "ASGI callable returned without completing handshake",
)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record of uvicorn says something of the server, not of a client's bytes."""
    return not record.getMessage().startswith(_NO_NEWS)


def _dump(event: dict[str, Any], **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _add_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Name the trace that a line belongs to, so that one leads to the other."""
    span = current()
    if span.trace_id:
        event["trace_id"], event["span_id"] = span.trace_id, span.span_id
    return event


def configure_logs(level: str, form: Literal["json", "console"]) -> None:
    """Send all logs of the process to standard error in one form.

    `level` is debug, info, warning or error. A log that cannot be written is dropped: it never
    stops the server.
    """
    logging.raiseExceptions = False
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor]
    if form == "json":
        renderer = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dump),
        ]
    else:
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, quiet_level in _QUIET.items():
        logging.getLogger(name).setLevel(quiet_level)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
