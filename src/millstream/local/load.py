"""Finding the pipeline that a command names: `file.py:name` or `file.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millstream.errors import SpecError, UsageError


def load_pipeline(text: str) -> Any:
    """The Pipeline that `text` names. Raises UsageError: what was found there, and what to write instead."""
    from millstream.pipeline import Pipeline

    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py"):
        file, name = text, ""
    path = Path(file)
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        _check_readable(path)
        return Pipeline.from_spec(path)
    if path.suffix != ".py":
        raise UsageError(f"a pipeline is file.yaml or file.py:name, not {text!r}")
    _check_readable(path)
    from millstream.userfunc.files import imported

    module = imported(path)
    found = {key: value for key, value in vars(module).items() if isinstance(value, Pipeline)}
    if name in found:
        return found[name]
    listed = ", ".join(f"{file}:{key}" for key in found) if found else "there is no Pipeline in it"
    if not name and len(found) == 1:
        return next(iter(found.values()))
    if name and hasattr(module, name):
        raise UsageError(
            f"{name} in {file} is of type {type(getattr(module, name)).__name__}, not a Pipeline; the pipelines: {listed}"
        )
    raise UsageError(f"{file} has no pipeline {name!r}: {listed}" if name else f"say which pipeline of {file}: {listed}")


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"pipeline {path} is a folder; name a file.yaml or a file.py:name")
        if not path.exists():
            raise UsageError(f"pipeline file not found: {path}")
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise SpecError(f"cannot read the pipeline {path}: {error.strerror}") from None
