"""The template on this machine, until Ctrl-C: python -m tests.e2e.local FOLDER. `make local FUNCTION=FOLDER` runs it.

moto is in AWS's place. The SAM template is expanded as AWS does and deployed to it, with a folder that holds pipeline.yaml as the functions'
code. Its functions of stream, queue and objects run under AWS's Runtime Interface Emulator, and `millstream emulate` polls their sources, with
the template's settings. What was made is told by a file of variables for a shell. Nothing of it is left when it ends.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from millstream.errors import BackendError
from tests.crash import server
from tests.e2e.functions import Poller, runtime
from tests.e2e.stack import deploy
from tests.lambda_runtime.fetch import FOLDER, FetchError, fetch
from tests.lambda_runtime.runtime import make_layer

TIMEOUT = 30
PARAMETERS = {"Release": "1", "Timeout": "60", "BatchingWindow": "1", "Workflow": "false"}
TOLD = {
    "STREAM": "StreamName",
    "QUEUE": "QueueUrl",
    "RAW_BUCKET": "RawBucketName",
    "SINK": "Sink",
    "REJECTS": "Rejects",
    "LEDGER": "Ledger",
    "STATE": "State",
    "FAILURES": "Failures",
}
"""Variables by the outputs of the stack that they have the values of."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.local", description=__doc__)
    parser.add_argument("folder", type=Path, help="the functions' code: pipeline.yaml and what it needs")
    parser.add_argument("--variables", type=Path, default=Path("demo/local.env"), help="written for a shell (%(default)s)")
    arguments = parser.parse_args()
    if not (arguments.folder / "pipeline.yaml").is_file():
        parser.error(f"{arguments.folder}/pipeline.yaml is not there: name the folder that your pipeline is in")
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it tells of its own feature toggles
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, _stop)
    try:
        with ExitStack() as held:
            run(arguments.folder.resolve(), arguments.variables, held)
    except (BackendError, FetchError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("ended; nothing of it is left")
        return 0
    finally:
        arguments.variables.unlink(missing_ok=True)


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def run(folder: Path, variables: Path, held: ExitStack) -> NoReturn:
    """Deploy and go on until somebody stops it. Raises FetchError, BackendError without a linker, and SystemExit where a part ended by itself."""
    parts = fetch(FOLDER)
    layer = make_layer(Path(held.enter_context(tempfile.TemporaryDirectory())))
    held.enter_context(server.running())
    stack = deploy("local", PARAMETERS, folder)
    print(f"deployed {len(stack.resources)} resources of sam/template.yaml, with moto in the place of AWS", flush=True)
    told = {name: stack.outputs[output] for name, output in TOLD.items()}
    told["QUEUE"] = local(told["QUEUE"])
    pollers = []
    for logical, source, *options in (
        ("StreamFunction", told["STREAM"], "--destination", f"s3://{stack.resources['FailuresBucket']}"),
        ("QueueFunction", told["QUEUE"]),
        ("ObjectsFunction", local(stack.resources["ObjectsQueue"])),
    ):
        endpoint = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
        running = held.enter_context(runtime(stack.function(logical), folder, layer, parts, endpoint, TIMEOUT))
        pollers.append(Poller(source, logical, running, {}, "--timeout", str(TIMEOUT), *options))
        held.callback(pollers[-1].stop)
    tell(variables, told)
    follow(pollers)


def local(url: str) -> str:
    """A queue of moto's, which names AWS's host."""
    return os.environ["AWS_ENDPOINT_URL"] + url.partition("amazonaws.com")[2]


def tell(variables: Path, told: dict[str, str]) -> None:
    given = {name: value for name, value in os.environ.items() if name.startswith("AWS_")} | told
    variables.parent.mkdir(parents=True, exist_ok=True)
    variables.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in given.items()))
    for name, value in told.items():
        print(f"  {name:<11}{value}")
    print(f"ready: `source {variables}` in another terminal sets these; Ctrl-C ends it", flush=True)


def follow(pollers: list[Poller]) -> NoReturn:
    """Print what functions log."""
    printed = [0] * len(pollers)
    while True:
        for number, one in enumerate(pollers):
            lines = one.runtime.lines[printed[number] :]
            printed[number] += len(lines)
            for line in lines:
                if line.startswith("{") and "_aws" not in line:
                    print(line, flush=True)
            if one.process.poll() is not None:
                raise SystemExit(f"emulate ended: {one.ended(1)}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
