"""The text of one token, so that tokens can be counted in raw bytes."""

MARK = b"~~"
"""Twice in no other place of a frame: one such byte may be a length of a WebSocket frame, two are
none that these servers send."""

TOKEN = "word~~ "
"""What every server of the benchmarks says as one token."""
