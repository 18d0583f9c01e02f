"""`manicule keys` and `manicule token`: what they print lets people in."""

import pytest
from typer.testing import CliRunner

from server.cli.app import app
from server.endpoints.principals import KeyRing

SECRET = "a-secret-of-at-least-32-characters"


def run(*words, said="", **env):
    return CliRunner().invoke(app, [*words], input=said, env=env)


@pytest.mark.parametrize(
    ("words", "role", "tenant"),
    [((), "user", ""), (("--role", "viewer", "--tenant", "acme"), "viewer", "acme")],
)
def test_a_new_key_is_a_line_of_the_file(tmp_path, words, role, tenant):
    lines = [run("keys", "new", *words).output for _ in range(2)]
    assert lines[0] != lines[1]
    file = tmp_path / "keys"
    file.write_text("".join(lines))
    key = lines[0].strip().rpartition(":")[2]
    assert len(key) == 43
    found = KeyRing((), keys_file=file).find(key)
    assert (found.role, found.tenant) == (role, tenant)
    for said in (f"{key}\n", lines[0]):
        assert run("keys", "digest", said=said).output.strip() == found.name


def test_what_is_no_key_has_no_digest():
    result = run("keys", "digest", said="short\n")
    assert result.exit_code == 2
    assert "No key came" in result.output


@pytest.mark.parametrize("tenant", ["a:b", "a,b", "a b", "#", "x" * 65])
def test_a_tenant_that_would_part_the_line_is_refused(tenant):
    assert run("keys", "new", "--tenant", tenant).exit_code == 2


def test_a_token_says_who_it_is_for():
    result = run("token", "--sub", "ada", "--role", "admin", MANICULE_JWT_SECRET=SECRET)
    assert result.exit_code == 0, result.output
    principal = KeyRing((), SECRET).find(result.output.strip())
    assert (principal.user_id, principal.role) == ("ada", "admin")
    assert 0 < principal.expires_at - principal.issued_at <= 15 * 60
    assert principal.token_id


def test_a_token_is_made_for_the_audience_and_issuer_of_the_settings():
    settings = {"MANICULE_JWT_AUDIENCE": "shop", "MANICULE_JWT_ISSUER": "https://id.example"}
    result = run("token", "--sub", "ada", MANICULE_JWT_SECRET=SECRET, **settings)
    ring = KeyRing((), SECRET, audience="shop", issuer="https://id.example")
    assert ring.find(result.output.strip())
    assert KeyRing((), SECRET).find(result.output.strip()) is None


@pytest.mark.parametrize("secret", ["", "short"])
def test_without_a_fit_secret_there_is_no_token(secret):
    result = run("token", "--sub", "ada", MANICULE_JWT_SECRET=secret)
    assert result.exit_code == 2
