"""Python files of users: importing one by its path, and the functions that pipeline files call by name."""

from __future__ import annotations

import contextlib
import importlib.util
import linecache
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from millstream.errors import MillstreamError, SpecError
from millstream.userfunc.declared import UserFunction
from millstream.userfunc.source import line_of


def imported(path: Path) -> Any:
    """A file's module; its folder is searched for what it imports itself. Raises SpecError with the line of what is wrong in it."""
    spec = importlib.util.spec_from_file_location(f"millstream_pipeline_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[spec.name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the report
            spec.loader.exec_module(module)
    except MillstreamError:
        raise
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise SpecError(f"{path}{line}: {error.msg}") from None
    except SystemExit as error:
        raise SpecError(f"{path}{line_of(error, path)}: it ends the program when it is imported") from None
    except Exception as error:
        line = line_of(error, path)
        raise SpecError(f"{path}{line}: {type(error).__name__}: {error}") from error
    finally:
        with contextlib.suppress(ValueError):  # the file may have changed it
            sys.path.remove(folder)
        linecache.checkcache(str(path))  # or functions would be told by the text that an earlier import saw
    return module


def functions_of(said: Any, folder: Path, taken: Sequence[str]) -> dict[str, UserFunction]:
    """The functions of the files that a pipeline file names, by their names. taken: names that no function may have.

    Raises SpecError.
    """
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list) or not listed or not all(isinstance(one, str) and one for one in listed):
        raise SpecError(f"functions is a Python file with functions under @udf, or a list of them, not {shown(said)}")
    found: dict[str, UserFunction] = {}
    homes: dict[str, str] = {}
    for text in listed:
        path = folder / text
        if "://" in text or path.suffix != ".py":
            raise SpecError(f"functions: {text!r} is no Python file; write functions: pricing.py, beside this file")
        if not path.is_file():
            raise SpecError(f"functions: there is no file {path}")
        here = {name: one for name, one in vars(imported(path)).items() if isinstance(one, UserFunction)}
        if not here:
            raise SpecError(f"functions: there is no function under @udf in {path}")
        for name, one in here.items():
            if name != one.name:
                continue  # another name for one that is there already
            if name in taken:
                raise SpecError(
                    f"functions: {path} has a function {name}, which expressions know as their own; call it otherwise"
                )
            if name in found and found[name].digest != one.digest:
                raise SpecError(f"functions: {homes[name]} and {path} both have a function {name}; call one otherwise")
            found[name], homes[name] = one, str(path)
    return found


def files_of(functions: Sequence[UserFunction]) -> list[str]:
    """The files from which `functions_of` has these. Raises SpecError for one that is no global of a file, and for two of one name."""
    named: dict[str, UserFunction] = {}
    for one in functions:
        there: Mapping[str, Any] = getattr(one.__wrapped__, "__globals__", {})
        if one.file.suffix != ".py" or there.get(one.name) is not one:
            raise SpecError(
                f"the function {one.name} is no global of a Python file, so a pipeline file cannot name it; move it into one"
            )
        if named.setdefault(one.name, one).digest != one.digest:
            raise SpecError(f"two functions are called {one.name}; a pipeline file needs another name for one of them")
    return list(dict.fromkeys(str(one.file) for one in named.values()))
