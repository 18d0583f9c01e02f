"""`manicule keys` and `manicule token`: what they print lets people in."""

import asyncio

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


async def test_the_command_line_signs_in_with_a_key_from_a_file(manicule, start, tmp_path):
    (tmp_path / "keys").write_text(run("keys", "new").output)
    (tmp_path / "wrong").write_text(run("keys", "new").output)
    (tmp_path / "empty").write_text("")
    async with start("serve", "--port", "0", MANICULE_API_KEYS_FILE="keys") as process:
        async with asyncio.timeout(60):
            said = b""
            while b"socket" not in said:
                said = await process.stdout.readline()
        words = ("search", "od 12", "--url", said.split()[1].decode())
        done = await manicule(*words, "--key-file", "keys")
        assert (done.code, done.err) == (0, "")
        assert "orrinfeld-od-12" in done.out
        for more in ((), ("--key-file", "wrong")):
            refused = await manicule(*words, *more)
            assert refused.code == 1
            assert "token" in refused.err
        for file, why in (("none", "No such file"), ("empty", "one line")):
            done = await manicule(*words, "--key-file", file)
            assert done.code == 2
            assert why in done.err
