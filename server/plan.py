"""What is read and checked before anything is opened: settings, files, keys, the model chain."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass

from prompts.library import PromptLibrary, load_prompts
from server.config.read import SettingsError
from server.config.settings import Settings
from server.demo import catalog_path
from server.endpoints.principals import KeyRing
from server.endpoints.watched import FileError
from server.llm.breaker import BreakerState
from server.llm.chain import Chain, build_chain
from server.llm.pacing import TimingWheel
from server.llm.port import Usage
from server.llm.prices import Prices, load_prices
from server.manuals.catalog import load_catalog
from server.manuals.folder import catalog_from_folder
from server.manuals.products import Catalog
from server.telemetry.memory import MemoryGuard, find_marks
from server.telemetry.metrics import Metrics
from server.telemetry.tracing import can_send
from server.webhooks.endpoints import Endpoint, read_endpoints


class Failure:
    """Why the process must end, once it must: durability that cannot be had any more."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.happened = asyncio.Event()

    def set_reason(self, reason: str) -> None:
        """Note the first reason; the server then goes away by itself."""
        self.reason = self.reason or reason
        self.happened.set()


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be read and checked before anything is opened: a fault here stops the start."""

    settings: Settings
    catalog: Catalog
    prompts: PromptLibrary
    chain: Chain
    prices: Prices
    metrics: Metrics
    secret_key: bytes
    keys: KeyRing
    failure: Failure
    memory: MemoryGuard
    endpoints: tuple[Endpoint, ...] = ()


def make_plan(settings: Settings) -> Plan:
    """Read files and settings.

    Raises `CatalogError`, `PromptError`, `ChainError`, `PriceTableError`, `WebhookError` or
    `OSError`, each with a message for the operator.
    """
    if settings.trace_url and not can_send():
        what = "MANICULE_TRACE_URL: needs the extra: pip install 'manicule[tracing]'"
        raise SettingsError([what])
    metrics = Metrics()
    return Plan(
        settings=settings,
        catalog=read_catalog(settings),
        prompts=load_prompts(settings.prompts_dir),
        chain=(chain := make_chain(settings, metrics)),
        prices=read_prices(settings, chain),
        metrics=metrics,
        secret_key=read_secret_key(settings),
        keys=read_keys(settings),
        failure=Failure(),
        memory=MemoryGuard(find_marks(settings.memory_high_water_bytes)),
        endpoints=read_webhooks(settings),
    )


def read_keys(settings: Settings) -> KeyRing:
    """Return the API keys; raises `SettingsError` for one that cannot be used."""
    try:
        return KeyRing(
            settings.api_keys,
            settings.jwt_secret,
            keys_file=settings.api_keys_file,
            jwks_file=settings.jwks_file,
            revoked_file=settings.revoked_file,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )
    except FileError as error:
        raise SettingsError([f"{error}. Check the path and what is in the file."]) from None
    except ValueError as error:
        name = "JWT_SECRET" if str(error).startswith("JWT") else "API_KEYS"
        raise SettingsError([f"MANICULE_{name}: {error}"]) from None


def read_webhooks(settings: Settings) -> tuple[Endpoint, ...]:
    """Return the endpoints that are told; raises `WebhookError` and `OSError`."""
    if settings.webhooks is None:
        return ()
    return read_endpoints(
        settings.webhooks,
        secret=settings.webhook_secret,
        allow_http=settings.allow_http,
        allow_private=settings.allow_private_addresses,
    )


def read_catalog(settings: Settings) -> Catalog:
    """Return the catalog that the settings name, or else the demo catalog."""
    if settings.manuals is not None:
        return catalog_from_folder(settings.manuals)
    return load_catalog(settings.catalog or catalog_path())


def make_chain(settings: Settings, metrics: Metrics | None = None) -> Chain:
    """Return the chain of models that the settings name."""
    watch = ModelWatch(metrics or Metrics())
    return build_chain(
        settings.model,
        gemini_api_key=settings.gemini_api_key,
        gemini_base_url=settings.gemini_base_url,
        openai_api_key=settings.openai_api_key,
        openai_base_url=settings.openai_base_url,
        model_keys=dict(_host_and_key(entry) for entry in settings.model_keys),
        first_token_timeout_s=settings.first_token_timeout_s,
        inter_token_timeout_s=settings.inter_token_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
        hedge_floor_s=settings.hedge_floor_s,
        pace=TimingWheel(settings.frame_interval_ms / 1000) if settings.frame_interval_ms else None,
        on_error=watch.failed,
        on_state=watch.moved,
        on_withheld=watch.withheld,
        on_malformed=lambda model: watch.failed(model, "skipped_event"),
    )


def read_prices(settings: Settings, chain: Chain) -> Prices:
    """Return the price table; raises `SettingsError` when a cap cannot hold for want of a price."""
    prices = load_prices(settings.prices)
    capped = settings.key_spend_cap_usd or settings.tenant_spend_cap_usd or settings.spend_cap_usd
    unknown = [name for name in chain.names if prices.cost_usd(name, Usage(1, 1)) is None]
    if capped and unknown:
        raise SettingsError(
            [
                f"MANICULE_PRICES: a spend cap is set and {', '.join(unknown)} has no price. Give "
                "one in a price table of your own, 0 for a server that costs nothing."
            ]
        )
    return prices


def _host_and_key(entry: str) -> tuple[str, str]:
    host, _, key = entry.partition("=")
    return host.strip().lower(), key.strip()


class ModelWatch:
    """Turns what happens to models into metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def failed(self, model: str, kind: str) -> None:
        """Count a failed attempt."""
        self._metrics.count("upstream_errors_total", model, kind)

    def moved(self, model: str, state: BreakerState) -> None:
        """Show the state of a model's breaker."""
        for one in BreakerState:
            self._metrics.set("model_breaker", float(one is state), model, one.value)

    def withheld(self, model: str, why: str) -> None:
        """Count a call that was not made."""
        self._metrics.count("calls_withheld_total", model, why)


def read_secret_key(settings: Settings) -> bytes:
    """Return the key that signs receipts, made once and kept when the settings name none."""
    if settings.secret_key:
        return settings.secret_key.encode()
    path = settings.data_dir / "secret.key"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", opener=_private) as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text().strip().encode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
