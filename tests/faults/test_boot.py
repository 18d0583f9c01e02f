"""What a server says when it cannot start, and that no secret is in it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "canary-7f3a9c-canary-7f3a9c"
LIMIT_S = 20.0  # the figure is 5 s and it takes about 1 s; a busy test machine gets more


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MANICULE_")}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])} | extra


def boot(folder: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `serve`, which must end by itself within the limit."""
    return subprocess.run(
        [sys.executable, "-m", "server", "serve", "--port", "0", *words],
        cwd=folder, env=environment(**extra), capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    for word in words:
        assert word in line, line
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"MANICULE_PORT": "http"}, ("MANICULE_PORT", "whole number")),
        ({"MANICULE_CATALOGUE": "x"}, ("MANICULE_CATALOGUE", "Did you mean MANICULE_CATALOG?")),
        ({"MANICULE_HOST": "0.0.0.0"}, ("MANICULE_HOST", "--insecure")),
        ({"MANICULE_CATALOG": "none.toml"}, ("none.toml", "cannot be read")),
        ({"MANICULE_MANUALS": "none"}, ("none", "is not a folder")),
        ({"MANICULE_PROMPTS_DIR": "none"}, ("none", "is not a folder")),
        ({"MANICULE_MODEL": "gemmini:x"}, ("gemmini", "gemini")),
        ({"MANICULE_MODEL": "scripted:none.json"}, ("none.json",)),
        ({"MANICULE_PRICES": "none.toml"}, ("none.toml",)),
        ({"MANICULE_DATA_DIR": "/dev/null/x"}, ("/dev/null", "Check the path")),
        ({"MANICULE_API_KEYS_FILE": "none"}, ("none", "No such file", "Check the path")),
        ({"MANICULE_JWKS_FILE": "/dev/null"}, ("/dev/null", "no JWKS")),
        ({"MANICULE_REVOKED_FILE": "none"}, ("none", "No such file")),
        ({"MANICULE_HOSTS": "https://x"}, ("MANICULE_HOSTS", "no host name")),
        ({"MANICULE_TLS_KEY": "key.pem"}, ("MANICULE_TLS_CERTIFICATE", "Set both")),
        (
            {"MANICULE_TLS_KEY": "/dev/null", "MANICULE_TLS_CERTIFICATE": "/dev/null"},
            ("MANICULE_TLS_CERTIFICATE", "PEM"),
        ),
    ],
)
def test_f88_a_configuration_error_ends_the_start(tmp_path: Path, env, words):
    settings = {"MANICULE_PORT": "0"} | env
    done = subprocess.run(
        [sys.executable, "-m", "server", "serve"],
        cwd=tmp_path, env=environment(**settings), capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert_one_clear_line(done, *words)


@pytest.mark.parametrize(
    ("model", "key"),
    [("gemini:gemini-2.5-flash", "GEMINI_API_KEY"), ("openai:gpt-4.1-mini", "OPENAI_API_KEY")],
)
def test_f88_a_missing_secret_names_its_variable(tmp_path: Path, model: str, key: str):
    done = boot(tmp_path, "--model", model, MANICULE_SECRET_KEY=SECRET)
    assert_one_clear_line(done, f"MANICULE_{key}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MANICULE_CACHE_URL", f"redis:/u:{SECRET}@cache:6379"),
        ("MANICULE_CACHE_URL", f"u:{SECRET}@cache:6379"),
        ("MANICULE_LOG_URL", f"redis://u:{SECRET}@cache:port"),
        ("MANICULE_STORE", f"mysql://u:{SECRET}@store/d"),
        ("MANICULE_GEMINI_BASE_URL", f"https://u:{SECRET}@example.com"),
    ],
)
def test_f88_a_malformed_address_is_told_without_its_secret(tmp_path: Path, name: str, value: str):
    assert_one_clear_line(boot(tmp_path, **{name: value}), name)


def test_f88_a_port_that_is_taken(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = boot(tmp_path, "--port", port)
    assert_one_clear_line(done, port, "--port 0")
    assert done.returncode == 1


def test_f88_every_problem_has_its_line(tmp_path: Path):
    done = boot(tmp_path, "--workers", "none", MANICULE_DRAIN_S="soon", MANICULE_MODLE="x")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def start(folder: Path, *words: str, **extra: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "serve", "--port", "0", *words,
        cwd=folder, env=environment(**extra),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_f88_an_unreachable_redis_is_a_warning_without_its_secret(
    tmp_path: Path, free_port: int
):
    """The server serves without its cache (F55); what is wrong and what to do is one log line."""
    url = f"redis://u:{SECRET}@127.0.0.1:{free_port}/0"
    keys = {"MANICULE_SECRET_KEY": SECRET, "MANICULE_OPENAI_API_KEY": SECRET}
    process = await start(tmp_path, MANICULE_CACHE_URL=url, **keys)
    assert process.stdout
    assert process.stderr
    said = b""
    try:
        async with asyncio.timeout(20):
            out = b""
            while b"data " not in out:
                line = await process.stdout.readline()
                assert line, (await process.stderr.read()).decode()
                out += line
            while b"service_unfit" not in said:
                line = await process.stderr.readline()
                assert line, "ended without a warning"
                said += line
            shown = command_line(process.pid)
            process.send_signal(signal.SIGTERM)
            rest_out, rest_err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0
    everything = out + rest_out + said + rest_err + shown
    assert SECRET.encode() not in everything
    assert f"***@127.0.0.1:{free_port}".encode() in everything
    assert b"http://127.0.0.1:" in out


async def test_workers_share_a_port_and_end_together(tmp_path: Path):
    process = await start(tmp_path, "--workers", "2")
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            first = (await process.stdout.readline()).decode()
            port = int(first.strip().rpartition(":")[2])
            for _ in range(4):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert b" 200 " in await reader.readline()
                writer.close()
                await writer.wait_closed()
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(("hard", "limit"), [(4096, 1512), (800, 800)])
def test_f82_the_process_takes_the_files_it_may_have(hard: int, limit: int):
    """Many systems give 1,024 unless asked, which is fewer than the sockets that are allowed."""
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard})); "
        "from server.serving import raise_file_limit; raise_file_limit(1000); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said = done.stdout.split()
    assert said[-1] == str(limit)
    assert ("few_files" in done.stdout) is (hard < 1512)
