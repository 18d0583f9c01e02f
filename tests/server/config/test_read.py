import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.config.read import SettingsError, read_settings, variable
from server.config.rows import hide_secret
from server.config.settings import Settings

SECRET = "hunter2-hunter2-hunter2"
ROWS = {row.name: row for row in dataclasses.fields(Settings)}


def problems_of(
    cli: dict[str, object] | None = None,
    env: dict[str, str] | None = None,
    env_file: Path | None = None,
) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(cli or {}, env or {}, env_file)
    assert all("\n" not in problem for problem in caught.value.problems)
    return "\n".join(caught.value.problems)


def env_file(folder: Path, text: str) -> Path:
    path = folder / ".env"
    path.write_text(text, "utf-8")
    return path


def test_the_defaults_are_valid():
    assert read_settings({}, {}) == Settings()


def test_rank_is_command_line_then_environment_then_file(tmp_path: Path):
    file = env_file(tmp_path, "MANICULE_PORT=1\nMANICULE_DRAIN_S=1\nMANICULE_WORKERS=3\n")
    settings = read_settings(
        {"port": "3", "drain_s": None}, {"MANICULE_PORT": "2", "MANICULE_DRAIN_S": "2"}, file
    )
    assert (settings.port, settings.drain_s, settings.workers) == (3, 2.0, 3)


def test_the_file_is_read_without_touching_the_environment(tmp_path: Path):
    before = dict(os.environ)
    file = env_file(
        tmp_path,
        "# comment\nexport MANICULE_MODEL='extractive'\nOTHER=1\nMANICULE_DRAIN_S=\n"
        'MANICULE_SECRET_KEY="with ${HOME} and # kept"\n',
    )
    settings = read_settings({}, {}, file)
    assert settings.secret_key == "with ${HOME} and # kept"
    assert settings.drain_s == Settings().drain_s
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "0", 0),
        ("port", " 9000 ", 9000),
        ("drain_s", "2.5", 2.5),
        ("insecure", "Yes", True),
        ("insecure", "off", False),
        ("data_dir", "/srv/manicule", Path("/srv/manicule")),
        ("manuals", "~", Path.home()),
        ("origins", "https://a.example, http://b.example:81 ,", ("https://a.example", "http://b.example:81")),
        ("log_level", "DEBUG", "debug"),
        ("store", "sqlite:///data/x.db", "sqlite:///data/x.db"),
        ("cache_url", "rediss+cluster://h:1", "rediss+cluster://h:1"),
    ],
)  # fmt: skip
def test_values_are_typed(name: str, text: str, value: object):
    assert getattr(read_settings({}, {variable(name): text}), name) == value


def test_values_from_programs_may_be_typed_already():
    settings = read_settings({"port": 1, "insecure": True, "data_dir": Path("x")}, {})
    assert (settings.port, settings.insecure, settings.data_dir) == (1, True, Path("x"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("port", "http", "is not a whole number"),
        ("port", "80.5", "is not a whole number"),
        ("port", "65536", "Use 0 to 65535"),
        ("port", "-1", "Use 0 to 65535"),
        ("workers", "0", "Use 1 to 256"),
        ("drain_s", "nan", "out of range"),
        ("drain_s", "inf", "out of range"),
        ("drain_s", "soon", "is not a number (s)"),
        ("insecure", "maybe", "true or false"),
        ("log_level", "loud", "debug, info, warning, error"),
        ("model", "a\nb", "control characters"),
        ("hedge_below", "1.5", "Use 0 to 1"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_remedy(name: str, text: str, words: str):
    message = problems_of(env={variable(name): text})
    assert message.startswith(variable(name))
    assert words in message
    assert repr(text) in message


def test_messages_name_the_source(tmp_path: Path):
    assert problems_of({"port": "x"}).startswith("--port: 'x'")
    file = env_file(tmp_path, "MANICULE_PORT=x")
    assert problems_of(env_file=file).startswith(f"MANICULE_PORT in {file}: 'x'")


def test_an_unknown_name_suggests_the_near_one(tmp_path: Path):
    assert "Did you mean MANICULE_MODEL?" in problems_of(env={"MANICULE_MODLE": "x"})
    assert "docs/configuration.md" in problems_of(env={"MANICULE_QQQQQQ": "x"})
    file = env_file(tmp_path, "MANICULE_CACHEURL=redis://h")
    assert "Did you mean MANICULE_CACHE_URL?" in problems_of(env_file=file)
    assert "no such setting" in problems_of({"porrt": 1})


def test_names_that_are_not_ours_are_left_alone():
    env = {
        "PATH": "/bin",
        "MANICULE_TEST_REDIS_URL": "x",
        "MANICULE_PORT": "tcp://10.0.0.1:80",
        "MANICULE_SERVICE_HOST": "10.0.0.1",
        "MANICULE_SERVICE_PORT_HTTP": "80",
        "MANICULE_PORT_80_TCP_ADDR": "10.0.0.1",
        "MANICULE_REDIS_PORT": "tcp://10.0.0.2:6379",
        "MANICULE_REDIS_SERVICE_PORT": "6379",
        "MANICULE_REDIS_PORT_6379_TCP": "tcp://10.0.0.2:6379",
    }
    assert read_settings({}, env) == Settings()


def test_every_problem_is_told_at_once():
    message = problems_of(
        {"port": "x"}, {"MANICULE_MODLE": "x", "MANICULE_DRAIN_S": "y", "MANICULE_INSECURE": "z"}
    )
    assert len(message.splitlines()) == 4


@pytest.mark.parametrize("text", ["NOT A LINE\n", 'MANICULE_MODEL="open\n'])
def test_a_damaged_file_names_the_line(tmp_path: Path, text: str):
    assert "line 2: not NAME=value" in problems_of(env_file=env_file(tmp_path, "A=1\n" + text))


def test_a_file_that_cannot_be_read(tmp_path: Path):
    assert "cannot be read" in problems_of(env_file=tmp_path / "none")
    assert "cannot be read" in problems_of(env_file=tmp_path)
    (tmp_path / ".env").write_bytes(b"A=\xff\xff")
    assert "UTF-8" in problems_of(env_file=tmp_path / ".env")


# What belongs together


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_this_machine_needs_no_keys(host: str):
    assert read_settings({"host": host}, {}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com", "127.0.0.1.evil"])
def test_other_addresses_are_refused_without_keys(host: str):
    assert "--insecure" in problems_of({"host": host})
    assert read_settings({"host": host, "insecure": True}, {}).host == host


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "example.com", "https://a.example/", "https://a.example/x", "ftp://a.example",
     "https://*.example.com", "https://u@a.example", "https://a.example:99999"],
)  # fmt: skip
def test_f71_only_exact_origins_can_be_allowed(origin: str):
    assert "is not an origin" in problems_of(env={"MANICULE_ORIGINS": origin})


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("cache_url", f"http://u:{SECRET}@h"),
        ("cache_url", f"redis://:{SECRET}@"),
        ("cache_url", SECRET),
        ("log_url", f"redis://u:{SECRET}@h:port"),
        ("store", f"mysql://u:{SECRET}@h/d"),
        ("store", "sqlite://"),
        ("secret_key", "short"),
        ("gemini_api_key", f"{SECRET}\n{SECRET}"),
        ("gemini_base_url", f"https://u:{SECRET}@h"),
        ("openai_base_url", "localhost:8000"),
    ],
)
def test_f88_a_malformed_url_or_key_is_told_without_the_secret(name: str, url: str):
    message = problems_of(env={variable(name): url})
    assert variable(name) in message
    assert SECRET not in message
    assert "short:" not in message


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        ("gemini:gemini-2.5-flash", "MANICULE_GEMINI_API_KEY"),
        ("extractive, gemini-sdk:x", "MANICULE_GEMINI_API_KEY"),
        ("openai:gpt-4.1-mini,extractive", "MANICULE_OPENAI_API_KEY"),
    ],
)
def test_f88_a_model_without_its_key_names_the_variable(chain: str, key: str):
    assert f"Set {key}" in problems_of({"model": chain})
    assert read_settings({"model": chain}, {key: SECRET}).model == chain


def test_a_server_of_ones_own_needs_no_key():
    env = {"MANICULE_OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}
    assert read_settings({"model": "openai:llama"}, env).openai_api_key == ""


@pytest.mark.parametrize("part", ["openai:m@http://h:8000/v1", "gemini:m@https://h"])
def test_a_server_that_the_chain_names_needs_no_key_of_the_provider(part: str):
    assert read_settings({"model": f"{part},extractive"}, {}).model.startswith(part)
    with pytest.raises(SettingsError, match="needs a key"):
        read_settings({"model": f"{part},gemini:g"}, {})


@pytest.mark.parametrize("entry", ["canary", "=canary", "h=", "https://h=canary"])
def test_a_key_without_its_host_is_told_without_the_key(entry: str):
    with pytest.raises(SettingsError, match="MODEL_KEYS: entry 1: write host=key") as caught:
        read_settings({}, {"MANICULE_MODEL_KEYS": entry})
    assert "canary" not in str(caught.value)


def test_words_inside_a_script_ask_for_no_key():
    script = 'scripted:[{"text": "a,gemini:b"}]'
    assert read_settings({"model": script}, {}).model == script


def test_thresholds_keep_their_order():
    assert "MANICULE_REPHRASE_BELOW" in problems_of(env={"MANICULE_REPHRASE_BELOW": "0.9"})


def test_of_catalog_and_manuals_the_stronger_source_wins():
    settings = read_settings({"manuals": "m"}, {"MANICULE_CATALOG": "c.toml"})
    assert (settings.catalog, settings.manuals) == (None, Path("m"))
    assert "one of the two" in problems_of({"manuals": "m", "catalog": "c.toml"})


# Secrets


def test_a_secret_can_come_from_a_file(tmp_path: Path):
    (tmp_path / "key").write_text(SECRET + "\n")
    env = {"MANICULE_SECRET_KEY_FILE": str(tmp_path / "key")}
    assert read_settings({}, env).secret_key == SECRET
    assert "Keep one" in problems_of(env=env | {"MANICULE_SECRET_KEY": SECRET})
    (tmp_path / "key").write_text("")
    assert "is empty" in problems_of(env=env)
    assert "cannot be read" in problems_of(env={"MANICULE_STORE_FILE": str(tmp_path / "none")})


def test_only_secrets_come_from_files():
    assert "no such setting" in problems_of(env={"MANICULE_HOST_FILE": "x"})


def test_neither_repr_nor_redacted_shows_a_secret():
    secrets = {
        name: f"redis://u:{SECRET}@cache.example:6379/1" if "url" in name else SECRET
        for name, row in ROWS.items()
        if row.metadata["secret"]
    }
    settings = Settings(**secrets)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.redacted())
    assert settings.redacted()["cache_url"] == "redis://***@cache.example:6379/1"
    assert settings.redacted()["gemini_api_key"] == "(set)"
    assert Settings().redacted()["secret_key"] == ""


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=4).filter(lambda s: "***" not in s)
)
def test_f88_whatever_a_password_holds_it_is_hidden(password: str):
    shown = hide_secret(f"redis://user:{password}@zzzz:1/0")
    assert shown in ("redis://***@zzzz:1/0", "(set)")


@given(st.dictionaries(st.sampled_from([variable(name) for name in ROWS]), st.text()))
def test_any_environment_is_read_or_explained(env: dict[str, Any]):
    try:
        settings = read_settings({}, env)
    except SettingsError as error:
        assert error.problems
    else:
        assert isinstance(settings.port, int)
