"""The build hook of the wheel: it compiles the kernels and puts their object in.

A wheel for Linux carries kernels.so and its manifest, and is tagged for the architecture alone: the object does not depend
on the Python version. Elsewhere the wheel carries no object and kernels are compiled on first need, which needs numba.
An editable install compiles nothing: it finds, or makes, the object in the user's cache.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The object asks for four symbols of libc, each as old as libc; glibc 2.17 is the oldest for which a wheel can be tagged.
LIBC_TAGS = {"glibc": "manylinux_2_17"}


class KernelsHook(BuildHookInterface[Any]):
    """Compile in a child process, then add the object to what the wheel holds."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = self._build_module()
        target = build.host_target()
        if version == "editable" or sys.platform != "linux" or target not in build.TARGETS:
            return
        folder = Path(self.root) / "build" / "kernels" / target
        manifest = self._compile(build, folder, target)
        if manifest["shared"] is None:
            self.app.abort(
                "no linker on PATH could make kernels.so, and a wheel must carry it: "
                "install binutils (ld), a C compiler or lld, and build again"
            )
        for name in ("kernels.so", "manifest.json"):
            build_data["force_include"][str(folder / name)] = f"millstream/native/objects/{target}/{name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{LIBC_TAGS.get(platform.libc_ver()[0], 'musllinux_1_2')}_{target}"

    def _build_module(self) -> ModuleType:
        """millstream.native.build, by its path: the package is not installed yet."""
        spec = importlib.util.spec_from_file_location("kernels_build", Path(self.root) / "src/millstream/native/build.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def _compile(self, build: ModuleType, folder: Path, target: str) -> dict[str, Any]:
        """The manifest in the folder. A build front end asks twice, for the metadata and for the wheel: it compiles once."""
        path = folder / "manifest.json"
        made_of = {"source": build.source_hash(), "numba": metadata.version("numba"), "llvmlite": metadata.version("llvmlite")}
        if path.exists():
            manifest: dict[str, Any] = json.loads(path.read_text())
            if made_of.items() <= manifest.items() and manifest["shared"] is not None:
                return manifest
        self.app.display_info(f"compiling the kernels for {target}")
        # What was compiled of the same sources is used again where the builder names the cache: each family by its hash.
        kept = Path(os.environ.get("MILLSTREAM_CACHE_DIR", "")) / "kernels" / "families"
        try:
            build.build_in_child(folder, target, False, kept if kept.is_absolute() and kept.is_dir() else None)
        except subprocess.CalledProcessError as error:
            self.app.abort(f"the kernels did not compile:\n{error.stderr}")
        made: dict[str, Any] = json.loads(path.read_text())
        return made
