"""What the bare senders have in common: one token's frame, and when it is due."""

from __future__ import annotations

import argparse

from benchmarks.streams.mark import TOKEN

_RESPONSE = "resp_4b1f0a6c2d7e48b39c5a8f17e6d20b34"


def frame(number: int) -> str:
    """Return a delta as manicule sends it, to the byte but for the number's digits."""
    return (
        f'{{"type":"response.output_text.delta","response_id":"{_RESPONSE}","epoch":1,'
        f'"sequence_number":{number},"delta":"{TOKEN}"}}'
    )


def _options() -> argparse.Namespace:
    """Read what every sender is started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of one answer")
    parser.add_argument("--protocol", default="auto", help="uvicorn's WebSocket implementation")
    return parser.parse_args()


arguments = _options()


def pause_s(started: float, number: int, now: float) -> float:
    """Return how long to sleep before token `number` of an answer begun at `started`."""
    return started + number / arguments.rate - now
