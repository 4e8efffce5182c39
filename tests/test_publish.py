"""`millstream layer publish`: what it checks, the commands it prints, and what it does at AWS (moto)."""

import base64
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import zipfile

import pytest

from millstream import cli, publish
from millstream._version import __version__
from millstream.sinks import clients
from millstream.sinks.clients import client

pytestmark = pytest.mark.once

VERSION_FILE = "python/millstream/_version.py"
OBJECTS = "python/millstream/native/objects"
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}


def make_zip(folder, python="313", cpu="arm64", *, version=__version__, leave_out=(), more=None, name=None):
    """A stand-in for a layer: a version, kernels that are none, and what a case asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"millstream-py{python}-{cpu}.zip")
    files = {
        VERSION_FILE: f'"""The version."""\n\n__version__ = "{version}"\n',
        f"{OBJECTS}/{MACHINES[cpu]}/kernels.so": f"kernels of {python} {cpu}",
        **(more or {}),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            if name not in leave_out:
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *words):
    """The command in this process: status, output, errors."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        status = cli.main(["layer", "publish", *map(str, words)])
    except SystemExit as ended:
        status = ended.code
    finally:
        signal.signal(signal.SIGTERM, before)
    told = capsys.readouterr()
    return status, told.out, told.err


def commands(out):
    """The commands of an output, each as the words that a shell makes of it."""
    return [shlex.split(line) for line in out.splitlines() if not line.startswith("#")]


def option(words, name):
    return words[words.index(name) + 1]


def test_a_command_for_each_layer_of_the_default_folder(folder, capsys):
    for python in ("312", "313", "314"):
        for cpu in MACHINES:
            make_zip(folder / "layer" / "dist", python, cpu)
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    found = commands(out)
    assert len(found) == 6
    assert {words[:3] == ["aws", "lambda", "publish-layer-version"] for words in found} == {True}
    assert {option(words, "--layer-name") for words in found} == {
        f"millstream-py3{minor}-{cpu}" for minor in (12, 13, 14) for cpu in MACHINES
    }
    path = "layer/dist/millstream-py313-arm64.zip"
    (words,) = [words for words in found if option(words, "--layer-name") == "millstream-py313-arm64"]
    digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
    assert words[3:] == [
        *("--layer-name", "millstream-py313-arm64"),
        *("--description", f"millstream {__version__} for python3.13 on arm64, sha256 {digest[:16]}"),
        *("--compatible-runtimes", "python3.13", "--compatible-architectures", "arm64"),
        *("--license-info", "Apache-2.0", "--zip-file", f"fileb://{path}"),
    ]
    assert f"# {path}  0.0 MB, 0.0 MB unzipped, sha256 {digest}" in out.splitlines()


def test_a_bucket_a_region_and_names_that_a_shell_would_read(folder, capsys):
    path = make_zip(folder / "a b's $HOME")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    status, out, _ = run(capsys, path, "--bucket", "zips", "--prefix", "/la/yers/", "--region", "eu-west-1", "--name", "acme")
    assert status == 0
    copy, words = commands(out)
    key = f"la/yers/millstream-py313-arm64-{__version__}-{digest[:16]}.zip"
    assert copy == ["aws", "s3", "cp", str(path), f"s3://zips/{key}", "--region", "eu-west-1"]
    assert option(words, "--content") == f"S3Bucket=zips,S3Key={key}"
    assert option(words, "--layer-name") == "acme-py313-arm64"
    assert words[-2:] == ["--region", "eu-west-1"]
    assert "--zip-file" not in words


@pytest.mark.parametrize(
    ("option", "tail"),
    [
        (["--public"], ["--statement-id", "public", "--action", "lambda:GetLayerVersion", "--principal", "*"]),
        (
            ["--organization", "o-1a2b3c4d5e"],
            [
                *("--statement-id", "organization", "--action", "lambda:GetLayerVersion", "--principal", "*"),
                *("--organization-id", "o-1a2b3c4d5e"),
            ],
        ),
    ],
)
def test_a_shell_runs_what_is_printed(folder, capsys, option, tail):
    """A stand-in for the AWS CLI writes down its words, as the shell gave them."""
    path = make_zip(folder / "a b's $HOME")
    (folder / "bin").mkdir()
    stand_in = folder / "bin" / "aws"
    stand_in.write_text(
        f"#!{sys.executable}\nimport json, sys\nopen('told', 'a').write(json.dumps(sys.argv[1:]) + '\\n')\nprint(7)\n"
    )
    stand_in.chmod(0o755)
    _, out, _ = run(capsys, path, "--bucket", "zips", *option)
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-e"], input=out, text=True, check=True, env=environment)
    copy, layer, share = [json.loads(line) for line in (folder / "told").read_text().splitlines()]
    assert copy[:3] == ["s3", "cp", str(path)]
    assert layer[:2] == ["lambda", "publish-layer-version"]
    assert layer[-4:] == ["--query", "Version", "--output", "text"]
    begin = ["lambda", "add-layer-version-permission", "--layer-name", "millstream-py313-arm64", "--version-number", "7"]
    assert share == [*begin, *tail]


def test_json_is_one_object(folder, capsys):
    path = make_zip(folder / "dist")
    status, out, err = run(capsys, "dist", "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert told["millstream"] == __version__
    (layer,) = told["layers"]
    assert layer.pop("commands") == [run(capsys, "dist")[1].splitlines()[1]]
    with zipfile.ZipFile(path) as archive:
        unzipped = sum(one.file_size for one in archive.infolist())
    assert layer == {
        "file": "dist/millstream-py313-arm64.zip",
        "name": "millstream-py313-arm64",
        "runtime": "python3.13",
        "architecture": "arm64",
        "bytes": path.stat().st_size,
        "unzipped_bytes": unzipped,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "arn": None,
        "is_new": None,
    }


def test_a_zip_that_is_named_twice_is_published_once(folder, capsys):
    path = make_zip(folder / "dist")
    assert len(commands(run(capsys, "dist", path.relative_to(folder))[1])) == 1


BAD = {
    "another name": (
        lambda d: make_zip(d, name="millstream-py311-arm64.zip"),
        "is no layer's name; write millstream-PYTHON-CPU",
    ),
    "another CPU": (lambda d: make_zip(d, name="millstream-py313-aarch64.zip"), "is no layer's name"),
    "no zip": (lambda d: (d / "millstream-py313-arm64.zip").write_text("no zip"), "is no zip, or a broken one"),
    "cut short": (lambda d: (p := make_zip(d)).write_bytes(p.read_bytes()[:-9]), "is no zip, or a broken one"),
    "no package": (lambda d: make_zip(d, leave_out=[VERSION_FILE]), f"holds no {VERSION_FILE}"),
    "another version": (lambda d: make_zip(d, version="9.9.9"), f"holds version 9.9.9, and this is {__version__}"),
    "a version that is none": (lambda d: make_zip(d, more={VERSION_FILE: "x = 1"}), "holds version unknown"),
    "other kernels": (
        lambda d: make_zip(d, cpu="x86_64", name="millstream-py313-arm64.zip"),
        f"holds no {OBJECTS}/aarch64/kernels.so, the kernels for arm64",
    ),
    "changed bytes": (
        lambda d: (p := make_zip(d, more={"python/x": os.urandom(4096)})).write_bytes(_flipped(p.read_bytes())),
        "is broken",
    ),
}


def _flipped(data):
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_layer_is_one_line_and_status_2(folder, capsys, case):
    make, says = BAD[case]
    (folder / "dist").mkdir()
    make(folder / "dist")
    status, out, err = run(capsys, "dist", "--run")
    assert (status, out) == (2, "")
    assert err.startswith("millstream: error: dist/millstream-py3")
    assert says in err
    assert err.count("\n") == 1


def test_limits_of_size(folder, capsys, monkeypatch):
    path = make_zip(folder / "dist", more={"python/x": os.urandom(3000)})
    size = path.stat().st_size
    monkeypatch.setattr(publish, "DIRECT_BYTES", size)
    assert run(capsys, "dist")[0] == 0
    monkeypatch.setattr(publish, "DIRECT_BYTES", size - 1)
    status, out, err = run(capsys, "dist")
    assert (status, out) == (2, "")
    assert "directly; name a bucket for it: --bucket BUCKET" in err
    assert run(capsys, "dist", "--bucket", "zips")[0] == 0
    monkeypatch.setattr(publish, "UNZIPPED_BYTES", 3000)
    status, _, err = run(capsys, "dist", "--bucket", "zips")
    assert status == 2
    assert "unzipped, and Lambda takes 0.0 MB; leave something out of it, or use a container image" in err


def test_the_limits_are_lambdas():
    assert publish.DIRECT_BYTES == 50 << 20
    assert publish.UNZIPPED_BYTES == 250 << 20


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "layer/dist is not there; `make layer` makes the layers there"),
        (["nowhere"], "nowhere is not there"),
        (["empty"], "there is no millstream-*.zip in empty"),
        (["dist", "other"], "would be the same layer; name one of them"),
        (["dist", "--name", "a b"], "--name is 'a b'; write up to 100 letters"),
        (["dist", "--region", "here"], "--region is 'here'; write a region such as eu-west-1"),
        (["dist", "--bucket", "s3://x"], "--bucket is 's3://x'; write a bucket's name, without s3://"),
        (["dist", "--bucket", "zips", "--prefix", "a,b"], "--prefix is 'a,b'"),
        (["dist", "--prefix", "a"], "there is no --bucket"),
        (["dist", "--organization", "x"], "--organization is 'x'; write an organization's id"),
    ],
)
def test_words_that_cannot_work(folder, capsys, words, says):
    (folder / "empty").mkdir()
    make_zip(folder / "dist")
    make_zip(folder / "other")
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["--public", "--organization", "o-1a2b3c4d5e"], ["--fast"]])
def test_words_that_are_no_options(folder, capsys, words):
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert "usage: millstream" in err


def test_printing_needs_no_boto3(folder, child):
    make_zip(folder / "dist")
    told = child(
        "import sys; from millstream.cli import main; main(['layer', 'publish', 'dist', '--json']);"
        "print(sorted({'boto3', 'botocore', 'pyarrow'} & sys.modules.keys()))"
    )
    assert told.stdout.splitlines()[-1] == "[]"


def content(name, version=1):
    return client("lambda").get_layer_version(LayerName=name, VersionNumber=version)


def test_run_publishes(folder, capsys, aws):
    name = f"acme-{os.urandom(4).hex()}"
    paths = [make_zip(folder / "dist", cpu=cpu) for cpu in MACHINES]
    status, out, err = run(capsys, "dist", "--run", "--json", "--name", name)
    assert (status, err) == (0, "")
    for path, layer, cpu in zip(sorted(paths), json.loads(out)["layers"], ("arm64", "x86_64"), strict=True):
        whole = f"{name}-py313-{cpu}"
        found = content(whole)
        assert layer["arn"] == found["LayerVersionArn"]
        assert layer["arn"].endswith(f":layer:{whole}:1")
        assert layer["is_new"] is True
        assert base64.b64decode(found["Content"]["CodeSha256"]) == hashlib.sha256(path.read_bytes()).digest()
        assert (found["CompatibleRuntimes"], found["CompatibleArchitectures"]) == (["python3.13"], [cpu])
        assert found["LicenseInfo"] == "Apache-2.0"
        assert found["Description"].startswith(f"millstream {__version__} for python3.13 on {cpu}")
    status, out, err = run(capsys, "dist", "--run", "--name", name)  # again: nothing new
    assert (status, err) == (0, "")
    assert out.count("  (it was there already)") == 2
    assert len(client("lambda").list_layer_versions(LayerName=f"{name}-py313-arm64")["LayerVersions"]) == 1
    make_zip(folder / "dist", more={"python/new": "x"})
    _, out, _ = run(capsys, "dist", "--run", "--name", name)
    assert f":layer:{name}-py313-arm64:2\n" in out


def test_run_goes_by_a_bucket_and_a_region_and_shares(folder, capsys, aws, monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name, zips = f"acme-{os.urandom(4).hex()}", f"zips-{os.urandom(6).hex()}"
    client("s3").create_bucket(Bucket=zips, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    path = make_zip(folder / "dist")
    words = ("--run", "--json", "--name", name, "--bucket", zips, "--prefix", "x", "--region", "eu-west-1", "--public")
    for is_new in (True, False):
        status, out, err = run(capsys, "dist", *words)
        assert (status, err) == (0, "")
        (layer,) = json.loads(out)["layers"]
        assert layer["is_new"] is is_new
        assert layer["arn"].startswith("arn:aws:lambda:eu-west-1:")
    (stored,) = client("s3").list_objects_v2(Bucket=zips)["Contents"]
    assert f"s3://{zips}/{stored['Key']}" in shlex.split(layer["commands"][0])
    assert client("s3").get_object(Bucket=zips, Key=stored["Key"])["Body"].read() == path.read_bytes()
    policy = json.loads(
        clients.make("lambda", "eu-west-1").get_layer_version_policy(LayerName=f"{name}-py313-arm64", VersionNumber=1)["Policy"]
    )
    assert {(one["Principal"], one["Action"]) for one in policy["Statement"]} == {("*", "lambda:GetLayerVersion")}


def test_a_publication_that_fails_is_status_1_and_tells_what_was_done(folder, capsys, aws, monkeypatch):
    name = f"acme-{os.urandom(4).hex()}"
    for cpu in MACHINES:
        make_zip(folder / "dist", cpu=cpu)
    read = publish._Run._published

    def denied(self, name):
        from botocore.exceptions import ClientError

        if "x86_64" in name:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "secret"}}, "PublishLayerVersion")
        return read(self, name)

    monkeypatch.setattr(publish._Run, "_published", denied)
    status, out, err = run(capsys, "dist", "--run", "--json", "--name", name)
    assert status == 1
    assert [one["arn"] is None for one in json.loads(out)["layers"]] == [False, True]
    assert err.startswith(f"millstream: error: cannot publish {name}-py313-x86_64: the answer is AccessDeniedException")
    assert "allow lambda:PublishLayerVersion and ListLayerVersions" in err
    assert "secret" not in err
    status, out, err = run(capsys, "dist", "--run", "--name", name)
    assert status == 1
    assert out.count(":layer:") == 1


def test_what_lambda_holds_must_be_what_was_sent(folder, capsys, aws, monkeypatch):
    make_zip(folder / "dist")
    read = publish._Run._published
    monkeypatch.setattr(publish._Run, "_published", lambda self, name: read(self, name) | {"Content": {"CodeSha256": "AAAA"}})
    status, _, err = run(capsys, "dist", "--run", "--name", f"acme-{os.urandom(4).hex()}")
    assert status == 1
    assert "holds other bytes than dist/millstream-py313-arm64.zip" in err
