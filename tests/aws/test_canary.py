"""The canary is found wherever it may be said: a test that leaks fails."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.once

LEAKS = """
import base64, logging, sys
import pytest
from millstream.aws import kinesis_handler, sqs_handler
from millstream.classes import replace
from millstream.pipeline import Pipeline
from tests.aws import events
from tests.aws.events import CANARY
from tests.servers import CREDENTIALS

def handler(make, folder):
    return make(Pipeline({"id": "int64"}, name="orders"), sink=folder / "out", on_reject="fail")

def test_stdout():
    print(f"a row: {CANARY}")

def test_stderr_read_by_the_test(capsys):
    print(CANARY, file=sys.stderr)
    capsys.readouterr()

@pytest.mark.parametrize("before", [b"", b"a", b"ab"])
def test_an_event_as_it_came(before):
    print(base64.b64encode(before + CANARY.encode() + b"..."))

def test_a_log_record_of_nobody():
    logger = logging.getLogger("quiet")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    logger.error("failed", extra={"payload": {"kind": CANARY}})

def test_the_log_line(tmp_path):
    made = handler(kinesis_handler, tmp_path)
    line = made.line
    made.line = lambda *given: replace(line(*given), shard=CANARY)
    made(events.kinesis(b'{"id":1}'))

def test_an_error_of_a_handler(tmp_path, monkeypatch):
    def broken(records):
        raise ValueError(f"cannot convert {CANARY}")
    made = handler(sqs_handler, tmp_path)
    monkeypatch.setattr(made, "prepared", broken)
    with pytest.raises(ValueError):
        made(events.sqs("{}"))

def test_an_error_behind_an_error(tmp_path, monkeypatch):
    def broken(records):
        try:
            raise ValueError(CANARY)
        except ValueError:
            raise RuntimeError("it failed")
    made = handler(sqs_handler, tmp_path)
    monkeypatch.setattr(made, "prepared", broken)
    with pytest.raises(RuntimeError):
        made(events.sqs("{}"))

def test_an_error_when_it_is_made():
    with pytest.raises(Exception):
        kinesis_handler(Pipeline({"id": "int64"}), sink=f"ftp://{CANARY}/", on_reject="fail")

@pytest.mark.parametrize("name", CREDENTIALS)
def test_credentials(name):
    logging.getLogger("botocore").warning("signed with %s", CREDENTIALS[name])

def test_teardown(request):
    request.addfinalizer(lambda: print(CANARY))
"""
CLEAN = """
from tests.aws.events import CANARY

def test_its_own_words(canary):
    canary.is_expected = True
    print(CANARY)

def test_other_words(capsys):
    print("nothing")
    assert CANARY not in capsys.readouterr().out
"""


def test_a_test_that_leaks_fails(tmp_path):
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    (tmp_path / "test_clean.py").write_text(CLEAN)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "tests.aws.conftest", "-q", "-rapE", "--tb=short"]
    options = [f"--rootdir={tmp_path}", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    summary = done.stdout.partition("short test summary info")[2].splitlines()
    leaked = {line.split("::")[1].partition(" ")[0] for line in summary if line.startswith("ERROR")}
    passed = {line.split("::")[1].partition(" ")[0] for line in summary if line.startswith("PASSED")}
    tests = {line[4:].partition("(")[0] for line in LEAKS.splitlines() if line.startswith("def test_")}
    assert {name.partition("[")[0] for name in leaked} == tests, done.stdout + done.stderr
    assert passed - leaked == {"test_its_own_words", "test_other_words"}
    assert "AWS_SECRET_ACCESS_KEY is in a record of the logger botocore" in done.stdout
    assert "the canary is in an error of SqsHandler.__call__" in done.stdout
