"""Writes a size of memory to where SAM's command line finds it, and changes nothing else of the file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from millstream.documents import replace_file
from millstream.errors import RunError, SpecError, UsageError


def write_memory(path: str, environment: str | None, parameter: str, mb: int) -> str:
    """Set a parameter in a samconfig.toml, of one environment, or in a YAML file of parameters. What was done, to read.

    Raises UsageError where that cannot be done by changing one line: then the line to write by hand is told.
    """
    old, new, place = changed(path, environment, parameter, mb)
    if new == old:
        return f"{place} has {parameter}={mb} already"
    try:
        replace_file(path, new.encode())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from None
    return f"{place}: {parameter}={mb} is written"


def changed(path: str, environment: str | None, parameter: str, mb: int) -> tuple[str, str, str]:
    """The text of a file, the same with a parameter set, and where that is. Nothing is written. Raises UsageError, see `write_memory`."""
    file = Path(path)
    if not re.fullmatch(r"[A-Za-z0-9]{1,255}", parameter):
        raise UsageError(f"--parameter is {parameter[:80]!r}; a parameter's name has letters and digits")
    try:
        text = file.read_bytes().decode()  # with its own ends of lines
    except OSError as error:
        raise UsageError(f"--write: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--write: {path} is no UTF-8 text") from None
    if file.suffix.lower() in (".yaml", ".yml"):
        if environment is not None:
            raise UsageError(
                "--env is for a samconfig.toml, which has several environments; a file of parameters is of one: leave it out"
            )
        new, place = _in_yaml(text, path, parameter, mb), path
    elif file.suffix.lower() == ".toml":
        if environment is None:
            raise UsageError(f"--write {path} needs --env: which environment of it")
        new, place = _in_toml(text, path, environment, parameter, mb), f"{path}, [{environment}.deploy.parameters]"
    else:
        raise UsageError(f"--write takes a samconfig.toml, or a YAML file of parameters, not {path}")
    return text, new, place


def _in_yaml(text: str, path: str, parameter: str, mb: int) -> str:
    from millstream.documents import loads

    line = f"{parameter}: {mb}"
    try:
        before = loads(text)
    except SpecError as error:
        raise UsageError(f"--write: {path}: {error}") from None
    if before is not None and not isinstance(before, dict):
        raise UsageError(f"--write: {path} is no mapping of parameters; write there by hand: {line}")
    new, count = re.subn(rf"^{parameter}\s*:[ \t]*[^\s#]+", line, text, flags=re.MULTILINE)
    if not count:
        end = _end(text)
        new = f"{text}{'' if not text or text.endswith(chr(10)) else end}{line}{end}"
    try:
        is_known = count <= 1 and loads(new) == {**(before or {}), parameter: mb}
    except SpecError:  # the parameter stands there in another form
        is_known = False
    if not is_known:
        raise UsageError(f"--write: {path} is not changed, for its form is not known; write there by hand: {line}")
    return new


def _in_toml(text: str, path: str, environment: str, parameter: str, mb: int) -> str:
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--write: {path} is no TOML: {error}") from None
    told: Any = before.get(environment)
    if not isinstance(told, dict):
        known = ", ".join(key for key, value in before.items() if isinstance(value, dict))
        raise UsageError(f"--write: {path} has no environment {environment!r}; it has {known or 'none'}")
    parameters: Any = told.get("deploy", {}).get("parameters", {}) if isinstance(told.get("deploy", {}), dict) else None
    old = parameters.get("parameter_overrides", []) if isinstance(parameters, dict) else None
    assigned = f"{parameter}={mb}"
    new_value: Any
    if isinstance(old, str):
        kept = re.sub(rf'(?<!\S)"?{parameter}=[^\s]*', "", old)
        new_value = " ".join([*kept.split(), assigned]) if not re.search(r'["\\]', kept) else None
    elif isinstance(old, list) and all(isinstance(one, str) for one in old):
        kept_list = [one for one in old if not one.startswith(f"{parameter}=")]
        new_value = [*kept_list, assigned]  # the last one holds, also against a file that is named before it
    else:
        new_value = None
    shown = f"[{environment}.deploy.parameters] parameter_overrides with {assigned}"
    if new_value is None:
        raise UsageError(f"--write: {path} is not changed, for its form is not known; write there by hand: {shown}")
    if old == new_value:
        return text
    line = f"parameter_overrides = {_toml(new_value)}"
    new = _with_line(text, environment, line)
    expected = {
        **before,
        environment: {
            **told,
            "deploy": {**told.get("deploy", {}), "parameters": {**parameters, "parameter_overrides": new_value}},
        },
    }
    try:
        if new is not None and tomllib.loads(new) == expected:
            return new
    except tomllib.TOMLDecodeError:
        pass
    raise UsageError(f"--write: {path} is not changed, for its form is not known; write there by hand: {shown}")


def _with_line(text: str, environment: str, line: str) -> str | None:
    """The text with a line for the overrides in the table of an environment's deploy parameters; None where there is no such table.

    One that is there is replaced, over several lines too, as far as its brackets go.
    """
    found = re.search(rf"^\[\s*{re.escape(environment)}\.deploy\.parameters\s*\][^\n]*\n?", text, re.MULTILINE)
    if found is None:
        return None
    start = found.end()
    following = re.search(r"^\[", text[start:], re.MULTILINE)
    end = start + following.start() if following else len(text)
    table = text[start:end]
    held = re.search(r"^parameter_overrides\s*=\s*(\[[^\]]*\]|[^\r\n]*)", table, re.MULTILINE)
    if held and "#" in held[0]:
        return None  # a comment, which would be lost
    if held:
        table = table[: held.start()] + line + table[held.end() :]
    else:
        end_of_line, body = _end(text), table.rstrip("\r\n")
        behind = table[len(body) :].partition("\n")[2]
        table = (body + end_of_line if body else "") + line + end_of_line + behind
    before = text[:start] if text[:start].endswith("\n") else text[:start] + _end(text)
    return before + table + text[end:]


def _end(text: str) -> str:
    """How a text ends its lines."""
    return "\r\n" if "\r\n" in text else "\n"


def _toml(value: str | list[str]) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
