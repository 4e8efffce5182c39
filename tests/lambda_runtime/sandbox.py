"""A root for a function as Lambda gives it one, by bubblewrap: an interpreter, a layer, the runtime's packages, nothing else.

    sandbox = unzip(Path("layer/dist/millstream-py312-x86_64.zip"), into=folder)
    sandbox.run("-c", "import millstream")

All is read-only but a /tmp of 512 MB; HOME is not there. The user is none of this machine's, without capabilities. Processes
are in a namespace of their own and end with the one that started them. The network is this machine's: tests serve AWS on it.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from layer import ARCHES, pack
from tests.lambda_runtime.fetch import Interpreter

TASK = "/var/task"
EMULATOR = "/var/rapid/init"
PYTHONPATH = f"{TASK}:{pack.MOUNT}:/var/runtime"
"""As Lambda's: the function's own code, then layers, then the runtime's."""
HOME = "/home/sbx_user1051"
TMP_BYTES = 512 << 20
_USER, _GROUP = "993", "990"  # as Lambda's; they own nothing
_ZIP = re.compile(r"millstream-py(?P<major>\d)(?P<minor>\d+)-(?P<arch>\w+)\.zip")
# Of the system: libraries and programs. No /usr/share, so no zones of time, no /usr/local, no passwd.
_SYSTEM = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/bin", "/lib", "/lib32", "/lib64", "/bin")
_ETC = ("/etc/ld.so.cache", "/etc/ssl", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf")


class SandboxError(Exception):
    """No such root can be made here: told with the reason."""


@dataclass(frozen=True)
class Sandbox:
    """An interpreter and an unzipped layer, which Lambda mounts at /opt."""

    python: Interpreter
    layer: Path

    def command(self, program: Sequence[str], binds: Iterable[tuple[Path, str]] = (), folder: str = "/") -> list[str]:
        """The command that runs a program in a folder of the root. `binds`: more that is there, read-only, and where."""
        command = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--unshare-all", "--unshare-user", "--share-net"]
        command += ["--uid", _USER, "--gid", _GROUP, "--cap-drop", "ALL"]
        for name in (*_SYSTEM, *_ETC):
            path = Path(name)
            if path.is_symlink() and name in _SYSTEM:
                command += ["--symlink", os.readlink(path), name]
            elif path.exists():
                command += ["--ro-bind", name, name]
        if not self.python.prefix.is_relative_to("/usr") or self.python.prefix.is_relative_to("/usr/local"):
            command += ["--ro-bind", str(self.python.prefix), str(self.python.prefix)]
        command += ["--ro-bind", str(self.layer), "/opt"]
        for source, place in binds:
            command += ["--ro-bind", str(source), place]
        command += ["--proc", "/proc", "--dev", "/dev", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]
        # The root and /dev are file systems in memory, which could be written to.
        return [*command, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", folder, *program]

    def interpreter(self, *arguments: str) -> list[str]:
        """The command in the root that runs Python with nothing of site-packages."""
        return [str(self.python.executable), "-S", "-s", *arguments]

    def run(self, *program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the root, without a function."""
        known = {"PATH": os.defpath, "HOME": HOME, "TZ": ":UTC", "PYTHONPATH": PYTHONPATH} | environment
        return subprocess.run(
            self.command(program), env=known, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )

    def check(self) -> None:
        """Raises SandboxError where bubblewrap is not there or may not do its work."""
        if shutil.which("bwrap") is None:
            raise SandboxError("bwrap is not on PATH; Debian's package is bubblewrap")
        done = self.run(*self.interpreter("-c", ""))
        if done.returncode:
            told = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            raise SandboxError(f"bubblewrap cannot run Python {self.python.version} in a root of its own here: {told[-1]}")


def runtime_binds(packages: Iterable[Path]) -> list[tuple[Path, str]]:
    """Several folders of packages as the one that the runtime has."""
    return [
        (path, f"/var/runtime/{path.name}") for folder in packages for path in sorted(folder.iterdir()) if path.name != "bin"
    ]


def unzip(path: Path, into: Path) -> Sandbox:
    """A layer's zip, unzipped, with the interpreter that its name tells. Raises SandboxError."""
    told = _ZIP.fullmatch(path.name)
    if told is None or ARCHES.get(told["arch"]) != os.uname().machine:
        raise SandboxError(f"{path.name} is not the zip of a layer for this machine's CPU, such as millstream-py313-x86_64.zip")
    if sys.platform != "linux":
        raise SandboxError("bubblewrap runs on Linux alone")
    version = f"{told['major']}.{told['minor']}"
    python = pack.interpreter(version)
    if python is None:
        raise SandboxError(f"no Python {version} is on PATH or of pyenv, which {path.name} is for")
    sandbox = Sandbox(Interpreter.at(python), into)
    sandbox.layer.mkdir(parents=True, exist_ok=True)
    sandbox.check()
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(into)
    except (OSError, zipfile.BadZipFile) as error:
        raise SandboxError(f"{path} cannot be unzipped: {error}") from None
    return sandbox
