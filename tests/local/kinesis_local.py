"""kinesis-local, from npm: streams whose shards end when they are split or merged, as moto's do not.

python -m tests.local.kinesis_local      # fetch it into .cache/npm in the checkout
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError
from botocore.session import get_session

from tests.lambda_runtime.fetch import FetchError
from tests.lambda_runtime.fetch import place as put_in_place
from tests.lambda_runtime.runtime import free_ports

VERSION = "0.6.2"
FOLDER = Path(__file__).parents[2] / ".cache" / "npm"


def fetch(folder: Path = FOLDER) -> Path:
    """The folder of the package, which appears whole or not at all. Raises FetchError."""
    place = folder / f"kinesis-local-{VERSION}"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise FetchError("no Node.js with npm on PATH, which kinesis-local takes (Debian: apt-get install nodejs npm)")
    if not place.exists():
        put_in_place(place, _install)
    return place / "node_modules" / "kinesis-local"


def _install(into: Path) -> None:
    into.mkdir()
    (into / "package.json").write_text(json.dumps({"name": "kinesis", "private": True}))
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", f"kinesis-local@{VERSION}"]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines()
        raise FetchError(f"cannot fetch kinesis-local from npm: {told[-1] if told else 'npm failed'}")


@contextmanager
def running(package: Path) -> Iterator[str]:
    """A server; its URL."""
    plain, secure = free_ports(2)
    environment = os.environ | {
        "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(plain),
        "KINESIS_MOCK_TLS_PORT": str(secure),
        "LOG_LEVEL": "ERROR",
        **{f"{one}_DURATION": "10ms" for one in ("CREATE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS")},
    }
    command = ["node", str(package / "main.js")]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{plain}"
    try:
        wait_until(lambda: _answers(url, server))
        yield url
    finally:
        server.kill()  # it takes its time over SIGTERM
        server.wait(10)


def client(url: str) -> Any:
    return get_session().create_client(
        "kinesis", "us-east-1", endpoint_url=url, aws_access_key_id="none", aws_secret_access_key="none"
    )


def wait_until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it does not become so"
        time.sleep(0.02)


def _answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    assert server.poll() is None, "kinesis-local ended"
    try:
        client(url).list_streams()
    except BotoCoreError:
        return False
    return True


if __name__ == "__main__":
    try:
        print(fetch())
    except FetchError as error:
        sys.exit(str(error))
