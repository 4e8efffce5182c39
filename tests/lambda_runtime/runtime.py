"""Functions run as Lambda runs them: AWS's emulator of the Runtime API drives AWS's own client, which calls the handler.

    with LambdaRuntime("function.handler", task_root=folder, layer=layer, parts=fetch()) as function:
        answer = function.invoke(event)

In a sandbox (sandbox.py) as the layer the function has a root of its own, and nothing there but what Lambda has.

Everything listens on 127.0.0.1. What the emulator does not do: it limits neither memory nor CPU, and the Init Duration and
Max Memory Used of its REPORT line are not measured.
"""

import compileall
import contextlib
import json
import os
import py_compile
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from millstream.errors import BackendError
from millstream.native import bind, build
from tests.lambda_runtime import sandbox
from tests.lambda_runtime.fetch import Parts

SOURCE = Path(__file__).parents[2] / "src" / "millstream"
EMULATOR_SECONDS = 15  # to listen, and what a start of the runtime may take beside the function's timeout
_PATH = "/2015-03-31/functions/function/invocations"
_ENDS = ("REPORT RequestId: ", "Invoke DONE failed")  # of the lines of an invocation; the second where the runtime died
_EXCEPTION = {"errorMessage", "errorType", "requestId", "stackTrace"}


@dataclass(frozen=True)
class Answer:
    """What an invocation came to. `body`: the JSON value, or the text where Lambda answers with text."""

    body: Any
    function_error: Literal["exception", "timeout", "crash"] | None
    logs: list[str]
    raw: bytes

    def logged(self, message: str) -> list[dict[str, Any]]:
        """The function's JSON log lines with a message."""
        found = []
        for line in self.logs:
            if line.startswith("{"):
                fields = json.loads(line)
                if fields.get("message") == message:
                    found.append(fields)
        return found

    def metrics(self) -> list[dict[str, Any]]:
        """The lines in CloudWatch's embedded metric format, each as its namespace, dimensions and metrics."""
        found = []
        for line in self.logs:
            if line.startswith("{") and "_aws" in (fields := json.loads(line)):
                (told,) = fields["_aws"]["CloudWatchMetrics"]
                (names,) = told["Dimensions"]
                metrics = {one["Name"]: fields[one["Name"]] for one in told["Metrics"]}
                dimensions = {name: fields[name] for name in names}
                found.append({"namespace": told["Namespace"], "dimensions": dimensions, "metrics": metrics})
        return found


def make_layer(into: Path) -> Path:
    """A folder for PYTHONPATH with the package as a layer has it: with this machine's kernels, compiled already, and `.pyc`.

    The package of a checkout has no kernels inside, and a function refuses to look elsewhere. Raises BackendError.
    """
    folder, manifest, _ = bind._find("")
    if manifest["shared"] is None:
        raise BackendError("no kernels.so, which a function loads: no linker was found when the kernels were compiled")
    package = into / "millstream"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__", "objects"))
    objects = package / "native" / "objects" / build.host_target()
    objects.mkdir(parents=True)
    for name in ("kernels.so", "manifest.json"):
        shutil.copy(folder / name, objects / name)
    compileall.compile_dir(package, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    return into


class LambdaRuntime:
    """One function's execution environment, for a handler of the task root, of the layer or of what is installed.

    `version`: of awslambdaric, the newest unless told. `timeout` in seconds and `memory` in MB are the function's
    settings. `environment` is set beside Lambda's own variables and credentials that are none; nothing else is inherited.
    `layer`: a folder for PYTHONPATH of the Python that runs, or a sandbox, whose parts must be its Python's.
    As in Lambda, the runtime is started by the first invocation, and anew after a timeout and a crash.
    """

    def __init__(
        self,
        handler: str,
        *,
        task_root: Path,
        layer: Path | sandbox.Sandbox,
        parts: Parts,
        version: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: int = 10,
        memory: int = 1024,
        name: str = "orders",
    ) -> None:
        self.handler = handler
        self.task_root = task_root
        self.timeout = timeout
        self.lines: list[str] = []
        """All that the emulator, the runtime and the function have written to stdout and stderr."""
        self._sandbox = layer if isinstance(layer, sandbox.Sandbox) else None
        client = parts.clients[version or list(parts.clients)[-1]]
        self._emulator = parts.emulator
        self._packages = [client, parts.boto3] if parts.boto3 else [client]
        minor = self._sandbox.python.minor if self._sandbox else sys.version_info.minor
        self.environment = {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            # As Lambda's: the function's own code, then layers, then the runtime's.
            "PYTHONPATH": sandbox.PYTHONPATH if self._sandbox else os.pathsep.join(map(str, (task_root, layer, client))),
            **({"HOME": sandbox.HOME} if self._sandbox else {"PYTHONDONTWRITEBYTECODE": "1"}),
            "LAMBDA_TASK_ROOT": sandbox.TASK if self._sandbox else str(task_root),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{minor}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            **(environment or {}),
        }
        self._written = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the emulator; returns when it listens. Raises RuntimeError with what it wrote if it does not."""
        for _ in range(3):  # another process may take a free port before the emulator does
            if self._listens():
                return
            self.stop()
        raise RuntimeError("the emulator does not listen:\n" + "\n".join(self.lines))

    def _listens(self) -> bool:
        self._port, api = free_ports(2)
        box = self._sandbox
        runtime = ("-m", "awslambdaric", self.handler)
        # No "--" before the program: the emulator would take it for the program.
        command = [
            sandbox.EMULATOR if box else str(self._emulator),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
            *("--runtime-api-address", f"127.0.0.1:{api}"),
            *("--log-level", "error"),
            *(box.interpreter(*runtime) if box else (sys.executable, *runtime)),
        ]
        if box:
            places = [
                (self.task_root, sandbox.TASK),
                (self._emulator, sandbox.EMULATOR),
                *sandbox.runtime_binds(self._packages),
            ]
            command = box.command(command, places, sandbox.TASK)
        self._process = subprocess.Popen(
            command,
            cwd=self.task_root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        deadline = time.monotonic() + EMULATOR_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return True
        return False

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._written:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._written.notify_all()

    def invoke(self, event: Any) -> Answer:
        """Call the handler with an event: bytes as they are, or any JSON value. Raises TimeoutError if nothing comes back."""
        body = event if isinstance(event, bytes) else json.dumps(event, separators=(",", ":")).encode()
        begin = len(self.lines)
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{_PATH}", body, method="POST")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=self.timeout + EMULATOR_SECONDS) as response:
                status, raw = response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, raw = error.code, error.read()
        return _answer(status, raw, self._logs(begin))

    def _logs(self, begin: int) -> list[str]:
        """The lines of an invocation: the last may come after its answer."""

        def whole() -> bool:
            return any(end in line for line in self.lines[begin:] for end in _ENDS)

        with self._written:
            self._written.wait_for(whole, timeout=2)
            return self.lines[begin:]

    @property
    def url(self) -> str:
        """Where Lambda's Invoke API is."""
        return f"http://127.0.0.1:{self._port}"

    def processes(self) -> list[int]:
        """The ids of the emulator, the runtime and what the function has started, and of those that hold the sandbox."""
        return processes_of(self._process.pid) if self._process else []

    def seen(self, path: str | Path) -> Path:
        """Where this process finds a file of the function's."""
        if self._sandbox is None:
            return Path(path)
        assert self._process is not None
        # The first process is outside; all that it has started are inside.
        inside = next(pid for pid in self.processes() if pid != self._process.pid)
        return Path(f"/proc/{inside}/root") / Path(path).relative_to("/")

    def stop(self) -> None:
        """End the emulator and all that it started. May be called again."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(3)
        # The emulator gives each runtime a process group of its own, but the session stays ours.
        deadline = time.monotonic() + 3
        while (left := processes_of(process.pid)) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _answer(status: int, raw: bytes, logs: list[str]) -> Answer:
    """Tell success from failure, which the emulator does not do by its status or headers."""
    body: Any
    try:
        body = json.loads(raw)
    except ValueError:
        body = raw.decode(errors="replace")
        if status == 200 and body.startswith("Task timed out after "):
            return Answer(body, "timeout", logs, raw)
    else:
        if status == 200 and isinstance(body, dict) and set(body) == _EXCEPTION:
            return Answer(body, "exception", logs, raw)
        if status == 200:
            return Answer(body, None, logs, raw)
    if status == 502:
        return Answer(body, "crash", logs, raw)
    raise RuntimeError(f"the emulator answered {status}: {body}\n" + "\n".join(logs))


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def processes_of(session: int) -> list[int]:
    """The ids of a session's living processes: what its leader has started, whatever their groups and parents."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # pid (name) state parent group session ...: a name may hold anything, a parenthesis too
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] not in "ZX":  # dead, and not waited for: an orphan, if nobody does
                found.append(int(folder.name))
    return found
