"""Every setting, in one table: name, default, unit, help. Read once, passed down as arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def setting(default: Any, help_text: str, *, unit: str = "", secret: bool = False) -> Any:
    """Declare one row of the table. `secret` values are never printed."""
    return field(default=default, metadata={"help": help_text, "unit": unit, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one server. `MANICULE_<FIELD NAME IN CAPITALS>` is each one's variable."""

    # where to listen
    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(8080, "Port to listen on; 0 picks a free one and prints it.")
    workers: int = setting(1, "Server processes that share the port.")
    insecure: bool = setting(
        False, "Listen on other addresses than this machine's own although no keys are set."
    )
    origins: tuple[str, ...] = setting(
        (),
        "Web origins that may open a socket, such as https://app.example.com; the server's own "
        "page is always allowed.",
    )
    data_dir: Path = setting(Path("data"), "Folder for everything the server keeps on disk.")
    secret_key: str = setting(
        "", "Signs receipts; the nodes of a fleet share it. Made once when empty.", secret=True
    )

    # what to answer about
    catalog: Path | None = setting(None, "Catalog file, TOML or JSON.")
    manuals: Path | None = setting(None, "Folder of manuals to make a catalog from.")
    prompts_dir: Path | None = setting(None, "Folder of prompts that add to the built-in ones.")
    allow_http: bool = setting(False, "Fetch manuals over plain http too.")
    allow_private_addresses: bool = setting(
        False, "Fetch manuals from private and loopback addresses too (an intranet, a test)."
    )

    # who answers
    model: str = setting(
        "extractive", "Chain of models, tried in order: gemini:NAME,openai:NAME,extractive."
    )
    gemini_api_key: str = setting("", "Key for the Gemini API.", secret=True)
    gemini_base_url: str = setting(
        "https://generativelanguage.googleapis.com", "Address of the Gemini API."
    )
    openai_api_key: str = setting("", "Key for an OpenAI-compatible server.", secret=True)
    openai_base_url: str = setting(
        "https://api.openai.com/v1", "Address of an OpenAI-compatible server."
    )
    max_output_tokens: int = setting(1024, "Longest answer.", unit="tokens")
    first_token_timeout_s: float = setting(8.0, "Longest wait for a model's first token.", unit="s")
    inter_token_timeout_s: float = setting(5.0, "Longest silence inside an answer.", unit="s")
    answer_timeout_s: float = setting(60.0, "Longest time for one answer in all.", unit="s")
    prices: Path | None = setting(None, "Price table (TOML) that overrides the built-in one.")

    # services; empty means in process
    cache_url: str = setting("", "Redis for manual texts and answers.", secret=True)
    log_url: str = setting("", "Redis for answer logs and the feedback journal.", secret=True)
    store: str = setting("", "Store of record; empty means SQLite in the data folder.", secret=True)

    # manuals and caches
    manual_ttl_s: int = setting(86_400, "How long a cached manual counts as fresh.", unit="s")
    manual_stale_s: int = setting(
        604_800, "How much longer a stale manual may be used while its source fails.", unit="s"
    )
    manual_negative_ttl_s: int = setting(60, "How long a failed fetch is remembered.", unit="s")
    fetch_timeout_s: float = setting(30.0, "Longest time for one download.", unit="s")
    max_manual_bytes: int = setting(50 * 2**20, "Largest manual file.", unit="bytes")
    max_manual_chars: int = setting(20_000_000, "Longest manual text.", unit="characters")
    extract_processes: int = setting(2, "Manuals read at the same time.")
    extract_cpu_s: int = setting(20, "Processor time for reading one manual.", unit="s")
    extract_memory_bytes: int = setting(1536 * 2**20, "Memory for reading one.", unit="bytes")
    memory_cache_bytes: int = setting(
        256 * 2**20, "Prepared manuals kept in this process.", unit="bytes"
    )
    answer_cache_bytes: int = setting(
        32 * 2**20, "Whole answers kept in this process.", unit="bytes"
    )
    answer_ttl_s: int = setting(3600, "How long a whole answer may be used again.", unit="s")
    context_tokens: int = setting(2000, "Manual text sent to the model.", unit="tokens")

    # limits of the socket
    max_frame_bytes: int = setting(65_536, "Largest frame of a client.", unit="bytes")
    max_concurrent_responses: int = setting(8, "Answers that one socket may have running.")
    max_running_answers: int = setting(2000, "Answers that one process may have running.")
    max_connections: int = setting(10_000, "Open sockets of one process.")
    requests_per_minute: int = setting(120, "Questions that one socket may ask.", unit="1/min")
    send_buffer_bytes: int = setting(
        65_536, "Unsent bytes of a socket before it counts as slow.", unit="bytes"
    )
    slow_client_s: float = setting(10.0, "How long a socket may stay slow.", unit="s")
    ping_interval_s: float = setting(20.0, "Between pings of the server.", unit="s")
    drain_s: float = setting(25.0, "Time for running answers to finish on SIGTERM.", unit="s")

    # confidence
    rephrase_below: float = setting(0.4, "Confidence under which guidance is rephrase.")
    hedge_below: float = setting(0.6, "Confidence under which guidance is hedge.")

    # telemetry
    log_level: str = setting("info", "debug, info, warning or error.")
    log_format: str = setting("auto", "json, console, or auto: console on a terminal.")
