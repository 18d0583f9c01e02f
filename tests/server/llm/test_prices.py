import pytest

from server.llm.port import Usage
from server.llm.prices import Prices, PriceTableError, load_prices


@pytest.fixture(scope="module")
def prices() -> Prices:
    return load_prices()


def test_cached_input_has_its_own_price(prices):
    usage = Usage(1_000_000, 100_000, cached_tokens=400_000)
    assert prices.cost_usd("gemini:gemini-2.5-flash", usage) == pytest.approx(
        0.6 * 0.30 + 0.4 * 0.03 + 0.1 * 2.50
    )


@pytest.mark.parametrize("model", ["extractive", "scripted"])
def test_own_models_cost_nothing(prices, model):
    assert prices.cost_usd(model, Usage(1000, 1000)) == 0.0


@pytest.mark.parametrize(
    ("model", "same_as"),
    [
        ("gemini:gemini-2.5-flash-preview-09-2025", "gemini:gemini-2.5-flash"),
        ("gemini:gemini-2.5-flash-lite-001", "gemini:gemini-2.5-flash-lite"),
        ("gemini:models/gemini-2.5-pro", "gemini:gemini-2.5-pro"),
        ("gemini-sdk:gemini-2.5-flash", "gemini:gemini-2.5-flash"),
        ("openai:gpt-4o-2024-08-06", "openai:gpt-4o"),
        ("openai:gpt-4o-mini-2024-07-18", "openai:gpt-4o-mini"),
        ("openai:openai/gpt-5-mini", "openai:gpt-5-mini"),
    ],
)
def test_a_version_of_a_model_costs_the_same(prices, model, same_as):
    usage = Usage(1000, 100, 10)
    cost = prices.cost_usd(model, usage)
    assert cost is not None
    assert cost == prices.cost_usd(same_as, usage)


@pytest.mark.parametrize(
    "model",
    [
        "openai:gpt-4o-audio",
        "openai:gpt-5-pro",
        "openai:gpt-5.9",
        "openai:llama3.1:8b",
        "gemini:gemini-2.5-flash-image",
        "gemini:gpt-4o",
        "other:gpt-4o",
        "openai:",
    ],
)
def test_an_unknown_price_is_none_and_not_a_guess(prices, model):
    assert prices.cost_usd(model, Usage(1000, 1000)) is None


def test_more_cached_than_given_is_not_negative(prices):
    assert prices.cost_usd("openai:gpt-4o", Usage(10, 0, cached_tokens=50)) == pytest.approx(
        10 * 1.25 / 1e6
    )


def test_override_wins_and_adds(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text('[openai]\n"gpt-4o" = { input = 1, output = 2 }\n"mine" = {input=0,output=0}\n')
    prices = load_prices(path)
    million = Usage(1_000_000, 1_000_000, cached_tokens=500_000)
    assert prices.cost_usd("openai:gpt-4o", million) == pytest.approx(3.0)
    assert prices.cost_usd("openai:mine", million) == 0.0
    assert prices.cost_usd("openai:gpt-4o-mini", million) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "not TOML"),
        ("openai = 3", "openai must be a table"),
        ('[openai]\n"m" = { input = 1 }', r"\[openai\] 'm' must have input and output"),
        ('[openai]\n"m" = { input = 1, output = 1, extra = 1 }', "must have input and output"),
        ('[openai]\n"m" = { input = -1, output = 1 }', "input must be a number"),
        ('[openai]\n"m" = { input = inf, output = 1 }', "input must be a number"),
        ('[openai]\n"m" = { input = true, output = 1 }', "input must be a number"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(PriceTableError, match=message):
        load_prices(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(PriceTableError, match="No such file"):
        load_prices(tmp_path / "none.toml")
