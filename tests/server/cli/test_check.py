import pytest

FILES = ("settings", "data", "catalog", "prompts", "webhooks")
GOOD = (*FILES, "retention", "cache", "log", "store", "model")


@pytest.fixture
def manuals(tmp_path):
    (tmp_path / "manuals").mkdir()
    (tmp_path / "manuals" / "td-17.txt").write_text("Hold both buttons.")
    return "manuals"


async def test_all_is_well(manicule, manuals):
    done = await manicule("check", "--manuals", manuals)
    assert done.code == 0, done.out
    lines = done.out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", part] for part in GOOD]
    assert lines[-1] == "All is well."
    assert "1 product, 1 with a manual" in done.out


async def test_a_real_redis_is_looked_at(manicule, manuals, redis_url):
    done = await manicule("check", "--manuals", manuals, "--cache-url", redis_url)
    assert done.code == 0, done.out
    assert f"cache      {redis_url}: answers" in done.out


async def test_everything_wrong_is_told_with_what_to_do(manicule, free_port):
    done = await manicule(
        "check",
        "--catalog", "none.toml",
        "--prompts-dir", "none",
        "--data-dir", "/dev/null/x",
        "--model", "gemmini:x",
        MANICULE_CACHE_URL=f"redis://u:hunter2@127.0.0.1:{free_port}/0",
        MANICULE_STORE="sqlite:////dev/null/x.db",
    )  # fmt: skip
    assert done.code == 1
    failed = [line.split()[1] for line in done.out.splitlines() if line.startswith("failed")]
    assert failed == ["data", "catalog", "prompts", "cache", "store", "model"]
    assert done.out.splitlines()[-1] == "6 failed."
    assert "hunter2" not in done.out + done.err
    assert "did you mean gemini?" in done.out


async def test_wrong_settings_are_exit_code_2(manicule):
    done = await manicule("check", MANICULE_MODLE="x", MANICULE_PORT="x")
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 2


async def test_the_env_file_of_this_folder_counts(manicule, manuals, tmp_path):
    (tmp_path / ".env").write_text("MANICULE_MODLE=x\n")
    done = await manicule("check", "--manuals", manuals)
    assert done.code == 2
    assert "Did you mean MANICULE_MODEL?" in done.err
    (tmp_path / "other.env").write_text("MANICULE_MODEL=scripted\n")
    done = await manicule("check", "--manuals", manuals, "--env-file", "other.env")
    assert done.code == 0, done.out + done.err
    assert "model scripted" in done.out
