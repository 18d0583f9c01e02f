"""The text of one token, so that tokens can be counted in raw bytes."""

MARK = b"~~"
"""Twice in no other place of a frame: one such byte may be a length of a WebSocket frame, two are
none that these servers send."""

TOKEN = "word~~ "
"""What a server of the benchmarks says as one token."""

TOKENS = tuple(f"{word}~~ " for word in ("word", "that", "this", "then", "with", "from", "more"))
"""What the upstream says in turn: some proxies give up a model that repeats itself."""
