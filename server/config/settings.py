"""Every setting, in one table: name, default, unit, help. Read once, passed down as arguments."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() and returns nothing mutable

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from server.config.access import AccessSettings
from server.config.rows import setting, show_value


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings(AccessSettings):
    """The settings of one server. `MANICULE_<FIELD NAME IN CAPITALS>` is each one's variable.

    `repr` and `redacted` never show a secret.
    """

    # what to answer about
    catalog: Path | None = setting(None, "Catalog file, TOML or JSON.")
    manuals: Path | None = setting(None, "Folder of manuals to make a catalog from.")
    prompts_dir: Path | None = setting(None, "Folder of prompts that add to the built-in ones.")
    allow_http: bool = setting(False, "Plain http too, for manuals and webhooks.")
    allow_private_addresses: bool = setting(
        False,
        "Private and loopback addresses too, for manuals and webhooks (an intranet, a test).",
    )

    # who answers
    model: str = setting(
        "extractive",
        "Chain of models, tried in order: gemini:NAME,openai:NAME,extractive. A part may name its "
        "own server: openai:NAME@https://host/v1.",
    )
    gemini_api_key: str = setting("", "Key for the Gemini API.", secret=True)
    gemini_base_url: str = setting(
        "https://generativelanguage.googleapis.com", "Address of the Gemini API."
    )
    openai_api_key: str = setting("", "Key for an OpenAI-compatible server.", secret=True)
    openai_base_url: str = setting(
        "https://api.openai.com/v1", "Address of an OpenAI-compatible server."
    )
    model_keys: tuple[str, ...] = setting(
        (),
        "Keys for servers that the chain names by address, each as host=key or host:port=key.",
        secret=True,
    )
    link_hosts: tuple[str, ...] = setting(
        (), "Hosts whose web addresses may stand in answers; all others are made plain text."
    )
    max_output_tokens: int = setting(1024, "Longest answer.", unit="tokens", low=1, high=65_536)
    first_token_timeout_s: float = setting(
        8.0, "Longest wait for a model's first token.", unit="s", low=0.1, high=600
    )
    inter_token_timeout_s: float = setting(
        5.0, "Longest silence inside an answer.", unit="s", low=0.1, high=600
    )
    answer_timeout_s: float = setting(
        60.0, "Longest time for one answer in all.", unit="s", low=1, high=3600
    )
    hedge_floor_s: float = setting(
        1.0,
        "Least silence of a model after which the next one is asked beside it, when the chain has "
        "two or more; 0 turns that off.",
        unit="s",
        low=0,
        high=600,
    )
    key_spend_cap_usd: float = setting(
        0.0, "What one key or token may spend in a day; 0 is no cap.", unit="USD/day", low=0
    )
    tenant_spend_cap_usd: float = setting(
        0.0, "What one tenant may spend in a day; 0 is no cap.", unit="USD/day", low=0
    )
    spend_cap_usd: float = setting(
        0.0, "What everybody together may spend in a day; 0 is no cap.", unit="USD/day", low=0
    )
    prices: Path | None = setting(None, "Price table (TOML) that overrides the built-in one.")

    # services; empty means in process
    cache_url: str = setting("", "Redis for manual texts and answers.", secret=True)
    log_url: str = setting("", "Redis for answer logs and the feedback journal.", secret=True)
    store: str = setting("", "Store of record; empty means SQLite in the data folder.", secret=True)

    feedback_retention_days: int = setting(
        400, "How long judgements are taken and kept.", unit="days", low=1, high=3660
    )

    expire: str = setting(
        "off",
        "What a server does once a day with what is older: nothing, write whole months to the "
        "archive and remove them, or only remove.",
        choices=("off", "archive", "remove"),
    )
    webhooks: Path | None = setting(
        None, "File of endpoints (TOML) that are told of judgements and dead letters."
    )
    webhook_secret: str = setting(
        "", "Signs what endpoints without a secret of their own are told: whsec_...", secret=True
    )

    # manuals and caches
    manual_ttl_s: int = setting(
        86_400, "How long a cached manual counts as fresh.", unit="s", low=1, high=31_536_000
    )
    manual_stale_s: int = setting(
        604_800,
        "How much longer a stale manual may be used while its source fails.",
        unit="s",
        low=0,
        high=31_536_000,
    )
    manual_negative_ttl_s: int = setting(
        60, "How long a failed fetch is remembered.", unit="s", low=0, high=86_400
    )
    fetch_timeout_s: float = setting(
        30.0, "Longest time for one download.", unit="s", low=0.1, high=600
    )
    max_manual_bytes: int = setting(
        50 * 2**20, "Largest manual file.", unit="bytes", low=1024, high=2**31
    )
    max_manual_chars: int = setting(
        20_000_000, "Longest manual text.", unit="characters", low=1000, high=200_000_000
    )
    extract_processes: int = setting(2, "Manuals read at the same time.", low=1, high=64)
    extract_cpu_s: int = setting(
        10, "Processor time for reading one manual.", unit="s", low=1, high=600
    )
    extract_wall_s: float = setting(30.0, "Longest time for reading one manual.", unit="s", low=1)
    max_manual_pages: int = setting(10_000, "Longest manual.", unit="pages", low=1)
    extract_memory_bytes: int = setting(
        1024 * 2**20, "Memory for reading one.", unit="bytes", low=256 * 2**20, high=2**36
    )
    warm_manuals: int = setting(
        20,
        "Most asked manuals that are prepared at start, before anybody waits; 0 for none.",
        low=0,
    )
    memory_cache_bytes: int = setting(
        256 * 2**20, "Prepared manuals kept in this process.", unit="bytes", low=0, high=2**40
    )
    answer_cache_bytes: int = setting(
        32 * 2**20, "Whole answers kept in this process.", unit="bytes", low=0, high=2**40
    )
    memory_high_water_bytes: int = setting(
        0,
        "Resident memory of one process from which questions are refused as overloaded. Nine "
        "tenths of the container's or the process' own limit count in any case; 0 for no more.",
        unit="bytes",
        low=0,
        high=2**50,
    )
    answer_ttl_s: int = setting(
        3600, "How long a whole answer may be used again.", unit="s", low=0, high=2_592_000
    )
    context_tokens: int = setting(
        2000, "Manual text sent to the model.", unit="tokens", low=100, high=1_000_000
    )

    # limits of the socket
    max_frame_bytes: int = setting(
        65_536, "Largest frame of a client.", unit="bytes", low=1024, high=2**24
    )
    max_frames_per_s: int = setting(
        2000, "Frames of one socket; more closes it with 4429.", unit="1/s", low=10, high=1_000_000
    )
    max_concurrent_responses: int = setting(
        8, "Answers that one socket may have running.", low=1, high=1000
    )
    max_running_answers: int = setting(
        2000, "Answers that one process may have running.", low=1, high=1_000_000
    )
    max_responses_per_client: int = setting(
        1000,
        "Answers that one key or person may have running in one process, over all sockets.",
        low=1,
        high=1_000_000,
    )
    model_concurrency: int = setting(
        2000, "Model calls of one process at a time; others wait.", low=1, high=1_000_000
    )
    max_queued_answers: int = setting(
        500, "Questions of each class that may wait for a model.", low=0, high=1_000_000
    )
    max_connections: int = setting(10_000, "Open sockets of one process.", low=1, high=1_000_000)
    connections_per_address: int = setting(
        2000,
        "Open sockets of one address in one process (of one /64 network with IPv6). Behind a proxy "
        "set the trusted proxies, or all clients have one address.",
        low=1,
        high=1_000_000,
    )
    connections_per_user: int = setting(
        100,
        "Open sockets of one person, whom a token names, in one process.",
        low=1,
        high=1_000_000,
    )
    handshakes_per_minute: int = setting(
        6000,
        "Sockets that one address may open in a minute.",
        unit="1/min",
        low=1,
        high=1_000_000,
    )
    requests_per_minute: int = setting(
        120, "Questions that one socket may ask.", unit="1/min", low=1, high=1_000_000
    )
    user_requests_per_minute: int = setting(
        3000,
        "Questions that one key or person may ask over all sockets; 0 for no limit.",
        unit="1/min",
        low=0,
        high=1_000_000,
    )
    tenant_requests_per_minute: int = setting(
        0, "The same for one tenant.", unit="1/min", low=0, high=1_000_000
    )
    address_requests_per_minute: int = setting(
        0, "The same for one address (/64 with IPv6).", unit="1/min", low=0, high=1_000_000
    )
    http_requests_per_minute: int = setting(
        3000,
        "HTTP requests that one key or token may make; a bulk is one. Without keys there is no "
        "limit.",
        unit="1/min",
        low=1,
        high=1_000_000,
    )
    frame_interval_ms: float = setting(
        40.0,
        "Between two frames of text of one answer, so that several tokens share one; more, up to "
        "100, when the process is behind. 0 sends each token as it comes, at twice the cost.",
        unit="ms",
        low=0,
        high=1000,
    )
    send_buffer_bytes: int = setting(
        65_536,
        "Unsent bytes that a socket may have; sixteen times as much closes it as slow.",
        unit="bytes",
        low=4096,
        high=2**26,
    )
    slow_client_s: float = setting(
        10.0, "How long a socket may stay slow.", unit="s", low=0.1, high=3600
    )
    ping_interval_s: float = setting(
        20.0, "Between pings of the server.", unit="s", low=1, high=3600
    )
    detached_s: float = setting(
        30.0,
        "How long an answer goes on while nobody reads it, for a client that comes back.",
        unit="s",
        low=0,
        high=3600,
    )
    resume_s: int = setting(
        600, "How long an answer can be resumed after its end.", unit="s", low=1, high=86_400
    )
    resume_memory_bytes: int = setting(
        64 * 2**20,
        "Ended answers kept in this process for those who resume.",
        unit="bytes",
        low=0,
        high=2**40,
    )
    drain_s: float = setting(
        25.0, "Time for running answers to finish on SIGTERM.", unit="s", low=0, high=3600
    )

    # confidence
    rephrase_below: float = setting(
        0.4, "Confidence under which guidance is rephrase.", low=0, high=1
    )
    hedge_below: float = setting(0.6, "Confidence under which guidance is hedge.", low=0, high=1)

    # telemetry
    log_level: str = setting(
        "info", "How much is logged.", choices=("debug", "info", "warning", "error")
    )
    log_format: str = setting(
        "auto",
        "Form of the log; auto is console on a terminal.",
        choices=("json", "console", "auto"),
    )

    trace_url: str = setting(
        "",
        "OpenTelemetry collector that spans are sent to (OTLP over HTTP), such as "
        "http://localhost:4318/v1/traces; needs the extra `tracing`.",
    )
    trace_ratio: float = setting(
        1.0, "Part of the answers that is traced, where the caller has not decided.", low=0, high=1
    )
    watched_certificates: tuple[str, ...] = setting(
        (),
        "Certificate files (PEM) whose end is shown as a metric, so that an alert comes in time: "
        "the proxy's, those of Redis, the store and the token issuer. The server's own is always.",
    )

    def redacted(self) -> dict[str, object]:
        """All settings for logs and people: of a secret only its address, or that it is set."""
        return {row.name: show_value(getattr(self, row.name), row.metadata) for row in fields(self)}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.redacted().items())
        return f"Settings({shown})"
