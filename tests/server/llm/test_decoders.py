import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.llm import gemini, openai
from server.llm.http_stream import Reply
from server.llm.port import ModelRequest, UpstreamError, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                sorted(
                    {"candidates", "content", "parts", "text", "thought", "finishReason"}
                    | {"usageMetadata", "promptTokenCount", "promptFeedback", "blockReason"}
                    | {"error", "code", "object", "choices", "delta", "finish_reason"}
                    | {"usage", "prompt_tokens", "prompt_tokens_details", "cached_tokens"}
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@pytest.mark.parametrize("decode", [gemini.decode, openai.decode])
@given(value=JSON)
def test_any_json_gives_text_or_a_known_error(decode, value):
    reply = Reply()
    try:
        text = decode(orjson.dumps(value), reply)
    except (ValueError, UpstreamError):
        return
    assert isinstance(text, str)
    assert reply.usage is None or reply.usage.input_tokens >= 0


@pytest.mark.parametrize("decode", [gemini.decode, openai.decode])
@given(data=st.binary(max_size=40))
def test_any_bytes_give_text_or_a_known_error(decode, data):
    with_reply = Reply()
    try:
        assert isinstance(decode(data, with_reply), str)
    except (ValueError, UpstreamError):
        return


def test_gemini_counts_start_anew_with_each_chunk():
    reply = Reply()
    for count in (3, 8):
        usage = {"promptTokenCount": 10, "candidatesTokenCount": count, "thoughtsTokenCount": 2}
        gemini.decode(orjson.dumps({"usageMetadata": usage}), reply)
    assert reply.usage == Usage(10, 10)


def test_openai_nulls_are_nothing():
    reply = Reply()
    chunk = {
        "choices": [{"delta": {"content": None, "role": "assistant"}, "finish_reason": None}],
        "usage": None,
        "error": None,
    }
    assert openai.decode(orjson.dumps(chunk), reply) == ""
    assert (reply.finish, reply.usage, reply.done) == (None, None, False)


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "openai/gpt-5-mini"])
def test_reasoning_models_get_the_fields_that_they_accept(model):
    body = openai.OpenAI(
        model, api_key="", base_url="http://h/v1", first_token_timeout_s=1, inter_token_timeout_s=1
    ).body(ModelRequest("", "", "q", max_output_tokens=9))
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body
    assert "temperature" not in body
    assert body["messages"] == [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("gemini-2.5-flash", {"thinkingConfig": {"thinkingBudget": 0}}),
        ("gemini-2.5-pro", {"thinkingConfig": {"thinkingBudget": 128}}),
        ("gemini-2.0-flash", {}),
    ],
)
def test_thinking_is_turned_down_where_that_is_documented(model, config):
    assert gemini.thinking_config(model) == config


@pytest.mark.parametrize(
    ("base_url", "start"),
    [
        ("http://h", "http://h/v1beta/models/m"),
        ("http://h/", "http://h/v1beta/models/m"),
        ("http://h/v1", "http://h/v1/models/m"),
        ("http://h/proxy/v1beta", "http://h/proxy/v1beta/models/m"),
    ],
)
def test_gemini_addresses(base_url, start):
    model = gemini.Gemini(
        "m", api_key="k", base_url=base_url, first_token_timeout_s=1, inter_token_timeout_s=1
    )
    assert model._check_url == start
