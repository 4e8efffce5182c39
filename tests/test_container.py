"""The container image's recipe: what can be told of it without an engine that builds images, which is not done here.

Its packages are looked up for the image's own Python; tests/test_packaging.py runs its commands in a fresh environment of this one.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from millstream.aws import entry

pytestmark = pytest.mark.once
ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "layer" / "container" / "Containerfile"
GLIBC = ("2_17", "2_26", "2_27", "2_28", "2_34")
"""Wheels for these versions, and for the ones between, run on Amazon Linux 2023, whose own is the last."""


def read():
    """(word, rest) of each instruction, in order; comments are none."""
    lines = [line for line in RECIPE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def instructions(word):
    """What stands behind a word, each time that it comes."""
    return [rest for one, rest in read() if one == word]


def run(*words, **options):
    done = subprocess.run([str(one) for one in words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{words}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_recipe_is_made_of_what_it_should():
    assert instructions("FROM") == ["public.ecr.aws/lambda/python:3.13"]
    assert {word for word, _ in read()} == {"FROM", "ENV", "COPY", "RUN", "ARG", "CMD"}
    (install,) = [one for one in instructions("RUN") if " pip " in one]
    assert install == 'python -m pip install --only-binary=:all: "$(echo /wheels/millstream-*.whl)[aws,udf]"'
    assert read().index(("COPY", "dist/millstream-*.whl /wheels/")) < read().index(("RUN", install))


def test_it_runs_a_handler_that_there_is():
    (command,) = instructions("CMD")
    module, _, name = json.loads(command)[0].rpartition(".")
    assert module == entry.__name__
    assert name in entry.__all__


def test_the_function_it_copies_is_there():
    (default,) = instructions("ARG")
    folder = ROOT / default.partition("=")[2]
    (pipeline,) = [one.partition("=")[2] for one in instructions("ENV") if one.startswith("MILLSTREAM_PIPELINE=")]
    assert (folder / pipeline).is_file()


def test_its_extras_are_the_projects():
    (extras,) = [re.findall(r"\[([\w,]+)\]", one)[0].split(",") for one in instructions("RUN") if " pip " in one]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= project["optional-dependencies"].keys()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_its_packages_have_wheels_for_the_images_python(tmp_path, architecture):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in ("aws", "udf") for one in project["optional-dependencies"][extra])]
    platforms = [f"--platform=manylinux_{version}_{architecture}" for version in GLIBC]
    options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version=3.13", "--dry-run"]
    words = [*options, *platforms, f"--platform=manylinux2014_{architecture}", "--target", tmp_path / "to"]
    run(sys.executable, "-m", "pip", "install", *words, "--report", tmp_path / "report.json", *wanted)
    found = {
        re.sub("[-_.]+", "-", one["metadata"]["name"]).lower()
        for one in json.loads((tmp_path / "report.json").read_text())["install"]
    }
    assert {"pyarrow", "orjson", "aws-lambda-powertools", "pyyaml", "boto3", "numba", "llvmlite", "numpy"} <= found
