"""`millstream forecast` as a user types it: what it prints, refuses, and what its page shows."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from millstream.cli import main
from millstream.sizing.forecast_arguments import add_forecast
from tests.sizing.test_forecast_profile import TOLD

pytestmark = pytest.mark.once
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "forecast.md"
LOAD = ["--records-per-second", "2000", "--record-bytes", "400"]
HAND = ["--duration-ms", "60", "--memory", "512", "--batch", "1000"]


def run(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["forecast", *words])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def profile(tmp_path) -> str:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(TOLD))
    return str(path)


def test_objects_of_a_profile_of_s3_are_counted_once(tmp_path):
    """An object of 200 MB is four chunks, each a file, when it is measured; its size is the profile's, too."""
    told = TOLD | {"source": "s3", "records": 500_000, "bytes_in": 200 << 20, "bytes_out": 30 << 20, "objects": 4}
    (tmp_path / "profile.json").write_text(json.dumps(told))
    status, out, err = run("--profile", str(tmp_path / "profile.json"), "--records-per-second", "2000", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["workload"]["objects"], found["workload"]["object_bytes"]) == (1, 200 << 20)
    (puts,) = [one for one in found["items"] if one["name"] == "puts of rows"]
    assert puts["quantity"] / found["invocations"] == pytest.approx(4)


def test_a_profile_gives_a_recommendation_and_a_bill(profile):
    status, out, err = run("--profile", profile, "--records-per-second", "2000")
    assert (status, err) == (0, "")
    assert "2,000 records a second of 400 bytes by kinesis" in out
    assert "function     1,769 MB, x86_64" in out
    assert "provisioned, 6 shards" in out
    assert re.search(r"Lambda, INIT and first batches +[\d.,]+ +GB-seconds", out)
    assert "Firehose, conversion to Parquet" in out
    status, told, _ = run("--profile", profile, "--records-per-second", "2000", "--json")
    found = json.loads(told)
    assert status == 0
    assert found["workload"]["output_bytes"] == 60
    assert found["usd_month"] == pytest.approx(sum(one["usd"] for one in found["items"]))
    assert f"{found['usd_month']:,.2f}" in out
    assert {one["group"] for one in found["items"]} == {"Kinesis", "Lambda", "S3", "DynamoDB", "CloudWatch"}
    assert found["date"] == "2026-11-30"


def test_every_assumption_is_told(profile):
    out = run("--profile", profile, "--records-per-second", "2000", "--architecture", "arm64")[1]
    for told in (
        "us-east-1, 2026-11-30",
        "from memory: s3.gb_month.archive",
        "◇ times were measured on x86_64",
        "which nobody measured",
        "730 hours",
    ):
        assert told in out
    assert "a record is stored in 20% of its bytes" in run(*LOAD, *HAND)[1]


def test_prices_of_ones_own(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("region: eu-central-1\nlambda: {request: 1}\n")
    status, out, _ = run(*LOAD, *HAND, "--prices", str(path))
    assert status == 0
    assert "prices: eu-central-1" in out
    assert "prices of your file: lambda.request" in out
    assert re.search(r"Lambda, requests +5,256,000 +requests +1 +5,256,000\.00", out)


def test_a_file_for_a_workload(tmp_path):
    path = tmp_path / "load.yaml"
    path.write_text("records_per_second: 100\nrecord_bytes: 400\nsource: sqs\nonce: true\n")
    found = json.loads(run("--workload", str(path), *HAND, "--peak", "2", "--json")[1])
    assert (found["workload"]["source"], found["workload"]["peak"], found["workload"]["once"]) == ("sqs", 2, True)
    assert "SQS" in {one["group"] for one in found["items"]}


def test_the_free_tier_is_taken_off_when_asked():
    small = ["--records-per-second", "1", "--record-bytes", "400", *HAND]
    paid, free = (json.loads(run(*small, *more, "--json")[1]) for more in ([], ["--free-tier"]))
    assert free["usd_month"] < paid["usd_month"]
    assert {one["name"]: one["usd"] for one in free["items"]}["duration"] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            LOAD,
            "without --profile FILE, which millstream rightsize writes, a forecast needs --duration-ms and --memory and --batch",
        ),
        ([*LOAD, "--profile", "absent.json"], "profile absent.json: No such file or directory"),
        (["--profile", "PROFILE"], "there is no records_per_second"),
        (["--profile", "PROFILE", *LOAD, "--source", "sqs"], "the profile is of a function of kinesis, not sqs"),
        (["--profile", "PROFILE", *LOAD, "--duration-ms", "5"], "--duration-ms and --init-ms are for use without --profile"),
        (["--profile", "PROFILE", *LOAD, "--memory", "777"], "777 MB was not measured"),
        ([*LOAD, *HAND, "--put-ms", "5"], "--put-ms and --ledger-ms go with --profile"),
        ([*LOAD, *HAND, "--memory", "64"], "--memory is 64; write 128 to 10240"),
        ([*LOAD, *HAND, "--duration-ms", "nan"], "--duration-ms is nan"),
        ([*LOAD, *HAND, "--batch", "0"], "--batch is 0; write 1 or more"),
        ([*LOAD, *HAND, "--architecture", "mips"], "--architecture is 'mips'; write x86_64 or arm64"),
        ([*LOAD, *HAND, "--peak", "0.5"], "--peak is 0.5; write 1 to 1000"),
        ([*LOAD, *HAND, "--prices", "/"], "prices /: Is a directory"),
    ],
)
def test_mistakes_are_told_with_status_2(words, says, profile):
    status, out, err = run(*(profile if word == "PROFILE" else word for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("millstream: error: ")
    assert says in err


def test_the_page_tells_every_option_and_key():
    import argparse

    from millstream.sizing.prices import KEYS
    from millstream.sizing.workload import READ

    page = PAGE.read_text()
    parser = add_forecast(argparse.ArgumentParser().add_subparsers())
    options = {word for action in parser._actions for word in action.option_strings} - {"-h", "--help"}
    assert [one for one in sorted(options) if f"`{one}" not in page] == []
    assert [key for key in READ if f"--{key.replace('_', '-')}" not in options] == []
    assert [key for key in KEYS if f"`{key}`" not in page] == []


def test_the_page_shows_what_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profile.json").write_text(re.search(r"```json\n(.*?)```", PAGE.read_text(), re.S)[1])
    shown = re.findall(r"```console\n\$ millstream forecast (.*?)\n(?!\$)(.*?)```", PAGE.read_text(), re.S)
    assert len(shown) >= 2
    for words, expected in shown:
        status, out, err = run(*shlex.split(words.replace("\\\n", " ")))
        assert (status, err) == (0, "")
        assert out == expected, words
