"""The Grafana dashboards: which panels there are, said in names of the metrics table.

A name or a label that the table does not have is a `KeyError` here, so no panel can show nothing
for ever because of a misspelling.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.telemetry.metrics import METRICS, PREFIX, Metric

TABLE = {row.name: row for row in METRICS}
NODE = 'instance=~"$instance"'
WINDOW = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph; `queries` are pairs of an expression and the legend of its lines."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    explanation: str = ""
    threshold: float | None = None
    bad_below: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page of panels; `uid` is also the name of its file."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


def pick(name: str, match: str = "", suffix: str = "") -> str:
    """Return the selector of a metric of the table; `match` is more label matchers."""
    row = TABLE[name]
    for one in filter(None, match.split(", ")):
        label = one.partition("=")[0].rstrip("!")
        if label not in (*row.labels, "le"):
            raise KeyError(f"{name} has no label {label}")
    return f"{PREFIX}{name}{suffix}{{{', '.join(filter(None, (NODE, match)))}}}"


def rate(name: str, by: str = "", match: str = "", suffix: str = "") -> str:
    """Return how often a counter moves a second, summed, or by labels of it."""
    for label in filter(None, by.split(", ")):
        if label not in (*TABLE[name].labels, "le", "instance"):
            raise KeyError(f"{name} has no label {label}")
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({pick(name, match, suffix)}{WINDOW}))"


def share(name: str, match: str, of: str = "") -> str:
    """Return the part of a counter's moves that match, of all or of those that `of` matches."""
    return f"{rate(name, match=match)} / ({rate(name, match=of)} > 0)"


def quantile(q: float, name: str) -> str:
    """Return a quantile of a histogram."""
    if TABLE[name].kind != "histogram":
        raise KeyError(f"{name} is no histogram")
    return f"histogram_quantile({q}, {rate(name, by='le', suffix='_bucket')})"


def quantiles(name: str) -> tuple[tuple[str, str], ...]:
    """Return the three lines that every duration gets."""
    return tuple((quantile(q, name), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99))


def gauge(name: str, by: str = "instance", how: str = "sum") -> str:
    """Return the value of a gauge by node."""
    return f"{how} by ({by}) ({pick(name)})"


EXPERIENCE = Dashboard(
    "manicule-experience",
    "manicule: what users see",
    (
        Panel("Questions", "reqps", ((rate("queries_total", "outcome"), "{{outcome}}"),)),
        Panel(
            "Question to end of answer",
            "s",
            quantiles("query_duration_seconds"),
            "The goal is that 95 % end within 15 s.",
            15,
        ),
        Panel("Question to first text", "s", quantiles("first_token_seconds")),
        Panel(
            "Failed answers",
            "percentunit",
            ((share("queries_total", 'outcome="failed"'), "failed"),),
            "The goal is under 0.1 %.",
            0.001,
        ),
        Panel("Errors told to clients", "reqps", ((rate("errors_total", "code"), "{{code}}"),)),
        Panel("Guidance", "reqps", ((rate("guidance_total", "guidance"), "{{guidance}}"),)),
        Panel("Items of answers", "reqps", ((rate("items_total", "type"), "{{type}}"),)),
        Panel("Answers resumed", "reqps", ((rate("resumes_total", "result"), "{{result}}"),)),
        Panel(
            "Citations that do not hold",
            "percentunit",
            ((share("citations_total", 'verdict!="verified"'), "dropped"),),
            "A rise means a model that invents quotes or pages.",
            0.1,
        ),
        Panel("Catalog search", "s", quantiles("search_seconds")),
        Panel(
            "Sockets closed",
            "reqps",
            ((rate("connections_closed_total", "code"), "{{code}}"),),
            "By close code; 4008 is a client that did not read.",
        ),
    ),
)

MODELS = Dashboard(
    "manicule-models",
    "manicule: models and cost",
    (
        Panel(
            "Calls",
            "reqps",
            ((rate("upstream_attempts_total", "model, reason"), "{{model}} {{reason}}"),),
        ),
        Panel(
            "Failures",
            "reqps",
            ((rate("upstream_errors_total", "model, kind"), "{{model}} {{kind}}"),),
        ),
        Panel("Tokens", "short", ((rate("tokens_total", "model, kind"), "{{model}} {{kind}}"),)),
        Panel(
            "Cost an hour",
            "currencyUSD",
            ((f"3600 * {rate('cost_usd_total', 'model')}", "{{model}}"),),
            "Of calls whose price is known.",
        ),
        Panel(
            "Cost a question",
            "currencyUSD",
            ((f"{rate('cost_usd_total')} / ({rate('queries_total')} > 0)", "mean"),),
        ),
        Panel(
            "Part of the day's cap that is spent",
            "percentunit",
            ((f"max by (scope) ({pick('spend_ratio')})", "{{scope}}"),),
            "The highest of each kind.",
            0.8,
        ),
        Panel(
            "Processes that do not ask a model",
            "short",
            (("sum by (model) (" + pick("model_breaker", 'state="open"') + ")", "{{model}}"),),
        ),
        Panel(
            "Calls withheld",
            "reqps",
            ((rate("calls_withheld_total", "model, reason"), "{{model}} {{reason}}"),),
        ),
        Panel(
            "Answers without a model call",
            "percentunit",
            ((share("answer_cache_total", 'result=~"hit|shared"'), "kept or shared"),),
        ),
    ),
)

CACHE = Dashboard(
    "manicule-cache",
    "manicule: manuals and caches",
    (
        Panel(
            "Manuals that come from a cache",
            "percentunit",
            (
                (
                    share(
                        "manual_requests_total", 'status=~"memory|cache|stale"', 'status!="none"'
                    ),
                    "hits",
                ),
            ),
            "The goal is over 40 %.",
            0.4,
            bad_below=True,
        ),
        Panel(
            "Where manuals come from",
            "reqps",
            ((rate("manual_requests_total", "status"), "{{status}}"),),
        ),
        Panel(
            "What the manual caches did",
            "reqps",
            ((rate("manual_events_total", "event"), "{{event}}"),),
        ),
        Panel("Whole answers", "reqps", ((rate("answer_cache_total", "result"), "{{result}}"),)),
        Panel("Prepared manuals", "bytes", ((gauge("manual_memory_bytes"), "{{instance}}"),)),
        Panel("Faults of the cache", "reqps", ((rate("cache_faults_total", "kind"), "{{kind}}"),)),
        Panel("Choosing passages", "s", quantiles("retrieval_seconds")),
        Panel(
            "Hidden characters removed",
            "short",
            ((rate("stripped_characters_total", "source"), "{{source}}"),),
        ),
    ),
)

FEEDBACK = Dashboard(
    "manicule-feedback",
    "manicule: feedback",
    (
        Panel(
            "Judgements acknowledged", "reqps", ((rate("feedback_total", "action"), "{{action}}"),)
        ),
        Panel(
            "Judgement to acknowledgement", "s", quantiles("feedback_ack_seconds"), threshold=1.0
        ),
        Panel(
            "What writer and drainer did",
            "reqps",
            ((rate("feedback_events_total", "event"), "{{event}}"),),
        ),
        Panel(
            "Journal, part in use",
            "percentunit",
            (
                (
                    f"max({pick('journal_entries')}) / max({pick('journal_capacity_entries')})",
                    "in use",
                ),
            ),
            "What waits for the store; beyond 100 % judgements go back to their senders.",
            0.5,
        ),
        Panel(
            "Oldest entry of the journal",
            "s",
            ((f"max({pick('journal_oldest_seconds')})", "age"),),
            threshold=60,
        ),
        Panel(
            "Dead letters",
            "reqps",
            (
                (
                    rate(
                        "feedback_events_total",
                        "event",
                        'event=~"refused|drained_refused|drained_conflict|drained_unreadable"',
                    ),
                    "{{event}}",
                ),
            ),
        ),
    ),
)

SATURATION = Dashboard(
    "manicule-saturation",
    "manicule: room that is left",
    (
        Panel("Answers that run", "short", ((gauge("answers_running"), "{{instance}}"),)),
        Panel("Wait for a model", "s", quantiles("queue_wait_seconds")),
        Panel(
            "Questions that wait",
            "short",
            ((f"sum by (priority) ({pick('queue_length')})", "{{priority}}"),),
        ),
        Panel("Open sockets", "short", ((gauge("connections"), "{{instance}}"),)),
        Panel(
            "Refused for want of room",
            "reqps",
            (
                (
                    rate(
                        "errors_total", "code", 'code=~"overloaded|too_many_responses|rate_limited"'
                    ),
                    "{{code}}",
                ),
            ),
        ),
        Panel(
            "Lateness of the loop",
            "s",
            (
                (
                    "histogram_quantile(0.99, "
                    f"{rate('event_loop_lag_seconds', 'le, instance', suffix='_bucket')})",
                    "p99 {{instance}}",
                ),
            ),
            "Over 50 ms something blocks or the processor is full.",
            0.05,
        ),
        Panel(
            "Memory",
            "bytes",
            ((gauge("memory_bytes"), "{{instance}}"),),
            "The limit is 1.5 GB.",
            1.5e9,
        ),
        Panel("Slow clients", "reqps", ((rate("slow_clients_total"), "closed"),)),
        Panel(
            "Dependencies",
            "short",
            ((gauge("dependency_up", "dependency", "min"), "{{dependency}}"),),
            "1 works, 0 does not, for at least one node.",
        ),
        Panel(
            "Certificates, time left",
            "s",
            (
                (
                    "min by (certificate) "
                    f"({pick('certificate_expiry_timestamp_seconds')}) - time()",
                    "{{certificate}}",
                ),
            ),
            threshold=14 * 86_400,
            bad_below=True,
        ),
        Panel("Versions", "short", ((gauge("build_info", "version"), "{{version}}"),)),
    ),
)


def panel_of(row: Metric) -> Panel:
    """Return the plain panel of one row, for the page that has them all."""
    legend = " ".join(f"{{{{{label}}}}}" for label in row.labels) or row.name
    by = ", ".join(row.labels)
    if row.kind == "histogram":
        return Panel(row.name, "s", quantiles(row.name), row.help)
    if row.kind == "counter":
        return Panel(row.name, "short", ((rate(row.name, by), legend),), row.help)
    by, legend = ", ".join(filter(None, ("instance", by))), f"{{{{instance}}}} {legend}"
    return Panel(row.name, "short", ((gauge(row.name, by), legend),), row.help)


EVERYTHING = Dashboard(
    "manicule-everything", "manicule: every metric", tuple(panel_of(row) for row in METRICS)
)

DASHBOARDS = (EXPERIENCE, MODELS, CACHE, FEEDBACK, SATURATION, EVERYTHING)
