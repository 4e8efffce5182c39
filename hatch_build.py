"""The build hook of the wheel: it compiles the kernels and puts their object in.

A wheel for Linux carries kernels.so and its manifest, and is tagged for the architecture alone: the object does not depend
on the Python version. Elsewhere the wheel carries no object and kernels are compiled on first need, which needs numba.
An editable install compiles nothing: it finds, or makes, the object in the user's cache.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The object asks for four symbols of libc, each as old as libc; glibc 2.17 is the oldest for which pyarrow has wheels.
LIBC_TAGS = {"glibc": "manylinux_2_17"}
ARCHITECTURES = ("x86_64", "aarch64")


class KernelsHook(BuildHookInterface[Any]):
    """Compile in a child process, then add the object to what the wheel holds."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
            return
        target = platform.machine()
        folder = Path(self.root) / "build" / "kernels" / target
        self.app.display_info(f"compiling the kernels for {target}")
        self._compile(folder, target)
        if json.loads((folder / "manifest.json").read_text())["shared"] is None:
            self.app.abort(
                "no linker on PATH could make kernels.so, and a wheel must carry it: "
                "install binutils (ld), a C compiler or lld, and build again"
            )
        for name in ("kernels.so", "manifest.json"):
            build_data["force_include"][str(folder / name)] = f"millstream/native/objects/{target}/{name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{LIBC_TAGS.get(platform.libc_ver()[0], 'musllinux_1_2')}_{target}"

    def _compile(self, folder: Path, target: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        source = str(Path(self.root) / "src")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([source, *filter(None, sys.path)])}
        command = [sys.executable, "-m", "millstream.native.build", "--out", str(folder), "--target", target]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            self.app.abort(f"the kernels did not compile:\n{done.stdout}{done.stderr}")
