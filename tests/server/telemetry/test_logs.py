"""Logs as a process writes them: one JSON object a line, whatever is in it."""

import json
import subprocess
import sys

import pytest

HOSTILE = 'a\r\nb\x1b[31m\x00\u2028{"event":"forged"}'

PROGRAM = """
import logging, sys
import structlog
from server.telemetry.logs import configure_logs

configure_logs({level!r}, {form!r})
log = structlog.get_logger("manicule")
{body}
"""


def run(body, level="info", form="json", **options):
    program = PROGRAM.format(level=level, form=form, body=body)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, **options
    )


def lines(body, **options):
    done = run(body, **options)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.split("\n") if line]


def test_an_event_is_one_line_with_its_keys_level_and_time():
    [line] = lines('log.info("query_completed", product_id="td-17", latency_ms=1.5)')
    assert line["event"] == "query_completed"
    assert line["level"] == "info"
    assert line["latency_ms"] == 1.5
    assert line["timestamp"].endswith("Z")


def test_hostile_values_stay_one_line():
    body = f"log.info('x', value={HOSTILE!r}, odd=object(), pair={{1: 2}})"
    [line] = lines(body)
    assert line["value"] == HOSTILE
    assert line["pair"] == {"1": 2}


def test_an_exception_is_a_key_of_one_line():
    [line] = lines("try: 1 / 0\nexcept ZeroDivisionError: log.exception('crashed')")
    assert line["event"] == "crashed"
    assert "ZeroDivisionError" in line["exception"]


def test_what_is_bound_for_a_connection_stands_in_each_line():
    body = "structlog.contextvars.bind_contextvars(session='s')\nlog.info('a')\nlog.info('b')"
    assert [line["session"] for line in lines(body)] == ["s", "s"]


def test_other_libraries_speak_in_the_same_form_and_only_when_it_matters():
    body = (
        "logging.getLogger('uvicorn.error').warning('late %s', 'x')\n"
        "for name in ('uvicorn.error', 'uvicorn.access', 'httpx', 'pypdf', 'websockets'):\n"
        "    logging.getLogger(name).info('noise')\n"
        "logging.getLogger('uvicorn.error').error('Invalid UTF-8 sequence received from client.')"
    )
    assert [line["event"] for line in lines(body)] == ["late x"]


@pytest.mark.parametrize(
    ("level", "events"),
    [("debug", ["d", "i", "e"]), ("info", ["i", "e"]), ("error", ["e"])],
)
def test_the_level_holds(level, events):
    body = "log.debug('d'); log.info('i'); log.error('e')"
    assert [line["event"] for line in lines(body, level=level)] == events


def test_the_console_form_is_for_people():
    said = run("log.info('ready', port=80)", form="console").stderr
    assert "ready" in said
    assert "port=80" in said
    assert not said.startswith("{")


def test_f84_a_log_that_cannot_be_written_stops_nothing():
    body = (
        "import os\n"
        "os.close(2)\n"
        "os.open('/dev/full', os.O_WRONLY)\n"
        "for _ in range(1000): log.info('x' * 100)\n"
        "print('still here')"
    )
    assert run(body).stdout == "still here\n"
