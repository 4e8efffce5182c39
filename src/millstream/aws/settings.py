"""What a function is told by its environment: read once, checked, and listed by `millstream settings`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from millstream.classes import dataclass
from millstream.errors import SettingsError
from millstream.ledger.table import checked_ledger
from millstream.native.bind import BACKENDS

PREFIX = "MILLSTREAM_"
ON_REJECT = ("fail", "drop-and-count")
MARGIN_MS = 2000
NAMESPACE = "main"
_INTERNAL = ("MILLSTREAM_KERNELS_CHECKED", "MILLSTREAM_PROGRESS")
"""Variables of Millstream's that are no setting of a function."""


@dataclass(frozen=True)
class Setting:
    """One variable: its name without the prefix, what it says, its default, how it is read."""

    name: str
    doc: str
    read: Callable[[str], Any]
    default: Any = None

    @property
    def variable(self) -> str:
        return PREFIX + self.name


def _text(value: str) -> str:
    if not value.strip() or value != value.strip() or not value.isprintable():
        raise ValueError("write text without blanks around it, of characters that can be printed")
    return value


def _one_of(*names: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in names:
            raise ValueError(f"write {' or '.join(names)}")
        return value

    return read


def _flag(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError("write 1 or 0")
    return value == "1"


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= 12 and least <= int(value) <= most):
            raise ValueError(f"write a whole number from {least:,} to {most:,}")
        return int(value)

    return read


def _name(value: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,64}", value, re.ASCII):
        raise ValueError("write 1 to 64 letters, digits, -, _ and .")
    return value


SETTINGS = (
    Setting("PIPELINE", "the pipeline: file.yaml or file.py:name, in the function's folder", _text),
    Setting("SINK", "where rows go: s3://bucket/prefix/, or a folder", _text),
    Setting("REJECTS", "where rejected records go: s3://bucket/prefix/, sqs+https://QUEUE_URL, or a folder", _text),
    Setting("ON_REJECT", "without rejects, what a rejected record does: fail or drop-and-count", _one_of(*ON_REJECT)),
    Setting(
        "LEDGER",
        "dynamodb://TABLE: what was committed of each Kinesis shard (also sqlite:///path), what was done of S3 objects",
        checked_ledger,
    ),
    Setting(
        "KMS_KEY", "the KMS key that objects are encrypted with, by id, alias or ARN; else the bucket's own setting", _text
    ),
    Setting("FILE_PATTERN", "which S3 keys are processed, like *.json.gz; with a / it is matched with the whole key", _text),
    Setting(
        "DEADLINE_MARGIN_MS", "how long before the function's timeout no new work is begun", _number(0, 600_000), MARGIN_MS
    ),
    Setting("RAW_EVENTS", "0: let the runtime parse events as it does for other functions", _flag, True),
    Setting("BACKEND", "force how kernels run; a function runs native", _one_of(*BACKENDS)),
    Setting("CACHE_DIR", "where kernels are compiled to on a developer's machine", _text),
    Setting("NAMESPACE", "a part of the ledger's keys: change it to process a stream anew", _name, NAMESPACE),
    Setting(
        "PARALLELIZATION",
        "1 tells that the event source mapping's parallelisation factor is 1, as the ledger needs it; else Lambda is asked",
        _one_of("1"),
    ),
    Setting(
        "SQS_ONCE",
        "1: keep in the ledger, dynamodb://TABLE, what was done of each message of a queue: its rows are in the sink once",
        _flag,
        False,
    ),
    Setting("NOTIFY", "for a later version: where to tell of finished work", _text),
)


@dataclass(frozen=True)
class Settings:
    """A function's settings. None: not set."""

    pipeline: str | None = None
    sink: str | None = None
    rejects: str | None = None
    on_reject: str | None = None
    ledger: str | None = None
    kms_key: str | None = None
    file_pattern: str | None = None
    deadline_margin_ms: int = MARGIN_MS
    raw_events: bool = True
    backend: str | None = None
    cache_dir: str | None = None
    namespace: str = NAMESPACE
    parallelization: str | None = None
    sqs_once: bool = False
    notify: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """From environment variables. Raises SettingsError that names the variable, and what to write."""
        given = os.environ if environ is None else environ
        known = {one.variable: one for one in SETTINGS}
        values: dict[str, Any] = {}
        for variable, value in given.items():
            if not variable.startswith(PREFIX) or variable in _INTERNAL:
                continue
            if variable not in known:
                raise SettingsError(
                    f"{variable} is no setting{_meant(variable, list(known))}; `millstream settings` lists them"
                )
            if value == "":  # templates set what is not wanted to nothing
                continue
            setting = known[variable]
            try:
                values[setting.name.lower()] = setting.read(value)
            except ValueError as error:
                raise SettingsError(f"{variable} is {value[:200]!r}: {error}") from None
        return cls(**values)

    def listed(self) -> list[dict[str, Any]]:
        """Each setting's variable, value, default and meaning."""
        return [
            {
                "variable": one.variable,
                "value": getattr(self, one.name.lower()),
                "default": one.default,
                "meaning": one.doc,
            }
            for one in SETTINGS
        ]


def render(settings: Settings) -> str:
    """Each setting to read: a line for variable, value now and default, and one for its meaning."""
    lines = []
    for one in settings.listed():
        value, default = (_written(one[name]) for name in ("value", "default"))
        lines.append(f"{one['variable']:<30}{value or 'not set'}{f' (default {default})' if default else ''}")
        lines.append(f"    {one['meaning']}")
    return "\n".join(lines)


def _written(value: Any) -> str:
    """A value as it is written in the environment; one that is not there as nothing."""
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def _meant(variable: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(variable, known, 1)
    return f"; did you mean {close[0]}?" if close else ""
