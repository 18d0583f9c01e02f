"""What settings must hold beyond the type of each: addresses, needed secrets, pairs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import SplitResult, urlsplit

from server.config.settings import Settings

MIN_SECRET_CHARS: Final = 16
"""Shorter signing keys can be guessed."""

REDIS_SCHEMES: Final = ("redis", "rediss", "redis+cluster", "rediss+cluster", "unix")
STORE_SCHEMES: Final = ("sqlite", "postgresql", "postgres")
_OPENAI: Final = "https://api.openai.com/v1"
_INLINE_SCRIPT: Final = re.compile(r"scripted:\s*\[.*\]", re.DOTALL)


def check_settings(settings: Settings, name_of: Callable[[str], str]) -> list[str]:
    """Return a line for each problem. `name_of` gives the source that a message names."""
    problems = [
        *_check_listening(settings, name_of),
        *_check_addresses(settings, name_of),
        *_check_secrets(settings, name_of),
    ]
    if settings.rephrase_below > settings.hedge_below:
        problems.append(
            f"{name_of('rephrase_below')}: is over hedge_below, {settings.hedge_below}. "
            "Rephrasing is for lower confidence than hedging; lower it."
        )
    return problems


def _check_listening(settings: Settings, name_of: Callable[[str], str]) -> Iterator[str]:
    has_keys = (
        settings.api_keys or settings.api_keys_file or settings.jwt_secret or settings.jwks_file
    )
    if not settings.insecure and not has_keys and not is_loopback(settings.host):
        yield (
            f"{name_of('host')}: {settings.host!r} can be reached from other machines, and no keys "
            "are set. Use 127.0.0.1, set MANICULE_API_KEYS, or say --insecure "
            "(MANICULE_INSECURE=true) if a proxy or the network guards it."
        )
    for origin in settings.origins:
        parts = _split(origin)
        exact = parts and f"{parts.scheme}://{parts.netloc}" == origin and "@" not in origin
        if not parts or not exact or parts.scheme not in ("http", "https") or "*" in origin:
            yield (
                f"{name_of('origins')}: {origin[:80]!r} is not an origin. Write scheme and host, "
                "such as https://app.example.com, without path, slash at the end or *."
            )
    for host in settings.hosts:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", host):
            yield f"{name_of('hosts')}: {host[:80]!r} is no host name. Write it without port or *."
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        yield f"{name_of('tls_certificate')}: certificate and key go together. Set both or none."
    if settings.metrics_port and settings.metrics_port == settings.port:
        yield f"{name_of('metrics_port')}: is the server's own port. Choose another, or 0."
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield f"{name_of('trusted_proxies')}: {error}. Write addresses, or 10.0.0.0/8."


def _check_addresses(settings: Settings, name_of: Callable[[str], str]) -> Iterator[str]:
    for name in ("cache_url", "log_url"):
        if (url := getattr(settings, name)) and not _is_service(url, REDIS_SCHEMES):
            yield f"{name_of(name)}: not a Redis URL. Write redis://[user:password@]host:6379/0."
    if settings.store and not _is_service(settings.store, STORE_SCHEMES):
        yield (
            f"{name_of('store')}: not a store URL. Write sqlite:///file.db or "
            "postgresql://user:password@host:5432/database."
        )
    for name in ("gemini_base_url", "openai_base_url"):
        url = getattr(settings, name)
        parts = _split(url)
        if not parts or parts.scheme not in ("http", "https") or "@" in parts.netloc:
            yield f"{name_of(name)}: not an address. Write https://host without user or password."


def _check_secrets(settings: Settings, name_of: Callable[[str], str]) -> Iterator[str]:
    chain = [part.strip() for part in _INLINE_SCRIPT.sub("", settings.model).split(",")]
    own_address = re.compile(r"@https?://")
    providers = {part.partition(":")[0] for part in chain if not own_address.search(part)}
    if providers & {"gemini", "gemini-sdk"} and not settings.gemini_api_key:
        yield (
            f"{name_of('model')}: gemini needs a key. Set MANICULE_GEMINI_API_KEY, or use "
            "--model extractive, which needs none."
        )
    own_server = settings.openai_base_url.rstrip("/") != _OPENAI
    if "openai" in providers and not (settings.openai_api_key or own_server):
        yield (
            f"{name_of('model')}: openai needs a key. Set MANICULE_OPENAI_API_KEY, or "
            "MANICULE_OPENAI_BASE_URL for a server of your own that needs none."
        )
    for number, entry in enumerate(settings.model_keys, 1):
        host, _, key = entry.partition("=")
        if not host or not key or "/" in host:
            yield f"{name_of('model_keys')}: entry {number}: write host=key or host:port=key."
    if settings.secret_key and len(settings.secret_key) < MIN_SECRET_CHARS:
        yield (
            f"{name_of('secret_key')}: shorter than {MIN_SECRET_CHARS} characters. Make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )


def is_loopback(host: str) -> bool:
    """True when only this machine can reach a server that listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_service(url: str, schemes: tuple[str, ...]) -> bool:
    parts = _split(url)
    if parts is None or parts.scheme not in schemes or "://" not in url:
        return False
    if parts.scheme in ("unix", "sqlite"):
        return len(parts.path) > 1
    return bool(parts.hostname)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return None
    return parts if parts.netloc or parts.path else None
