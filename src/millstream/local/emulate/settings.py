"""What a mapping is to do: the words of the command line, and behind them those of a template."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

from millstream.classes import dataclass
from millstream.errors import UsageError
from millstream.local.emulate.template import read_template
from millstream.local.emulator.filters import Filters

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_STREAM = re.compile(r"arn:aws[a-z-]*:kinesis:([a-z0-9-]+):(\d{12}):stream/([A-Za-z0-9_.-]{1,128})", re.ASCII)
_QUEUE = re.compile(r"arn:aws[a-z-]*:sqs:([a-z0-9-]+):(\d{12}):([A-Za-z0-9_-]{1,80}(?:\.fifo)?)", re.ASCII)
_HOST = re.compile(r"https?://(?:[^/]*\.)?(?:sqs(?:-fips)?\.([a-z0-9-]+)\.|([a-z0-9-]+)\.queue\.)", re.ASCII)
_STREAMS_ONLY = (
    "starting_position",
    "parallelization",
    "bisect",
    "maximum_retries",
    "maximum_age",
    "backoff_limit",
    "destination",
    "checkpoints",
)
MOST_CONCURRENCY = 32


@dataclass(frozen=True)
class Source:
    """A stream by its name, or a queue by its URL or its account and name. region: None is the settings'. account: None is one's own."""

    kind: Literal["kinesis", "sqs"]
    name: str
    region: str | None = None
    url: str | None = None
    account: str | None = None

    @classmethod
    def of(cls, text: str) -> Source:
        """The source that a word names. Raises UsageError."""
        if found := _STREAM.fullmatch(text):
            return cls("kinesis", found[3], found[1], account=found[2])
        if found := _QUEUE.fullmatch(text):
            return cls("sqs", found[3], found[1], account=found[2])
        if re.fullmatch(r"https?://[^/\s]+/\S+", text):
            host = _HOST.match(text)
            return cls("sqs", text.rstrip("/").rpartition("/")[2], host and (host[1] or host[2]), url=text)
        if _NAME.fullmatch(text):
            return cls("kinesis", text)
        raise UsageError(f"the source is {text!r}; write a stream's name or ARN, or a queue's URL or ARN")


@dataclass(frozen=True)
class Settings:
    """Times in seconds. None where nobody said anything, and the mapping's own default holds."""

    batch_size: int | None = None
    window: float | None = None
    report_batch_item_failures: bool = False
    filters: Filters | None = None
    starting_position: str | float = "TRIM_HORIZON"
    parallelization: int | None = None
    bisect: bool = False
    maximum_retries: int | None = None
    maximum_age: float | None = None
    backoff_limit: float | None = None
    destination: str | None = None
    timeout: float = 30.0

    @classmethod
    def of(cls, arguments: Any, kind: Literal["kinesis", "sqs"]) -> Settings:
        """The settings of a command line, an argparse.Namespace. Raises UsageError."""
        if (arguments.template is None) != (arguments.function is None):
            raise UsageError("--template and --function go together: the file, and which of its functions")
        names = [one for one in cls.__fields__ if one != "filters"] + ["filter"]  # type: ignore[attr-defined]
        said = {name: value for name in names if (value := getattr(arguments, name)) is not None}
        if kind == "sqs":
            for name in _STREAMS_ONLY:
                if getattr(arguments, name) is not None:
                    raise UsageError(f"--{name.replace('_', '-')} is for streams, and the source is a queue; leave it out")
        if arguments.template is not None:
            said = read_template(arguments.template, arguments.function, kind, set(said)) | said
        patterns = said.pop("filter", [])
        filters = Filters.of(patterns, kind) if patterns else None
        if said.get("destination") == "none":
            del said["destination"]
        if isinstance(where := said.get("starting_position"), str):
            said["starting_position"] = _position(where)
        found = cls(filters=filters, **said)
        for name in ("batch_size", "parallelization", "maximum_retries"):
            if isinstance(getattr(found, name), float):
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(found, name):g}; write a whole number")
        for name, low, high in (
            ("timeout", 1, 900),
            ("maximum_retries", -1, 10_000),
            ("maximum_age", -1, 604_800),
            ("backoff_limit", 0, 3600),
        ):
            value = getattr(found, name)
            if value is not None and not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} is {value:g}; write {low} to {high:,}")
        return found

    def given(self, *names: str) -> dict[str, Any]:
        """Those of these settings that somebody gave."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def _position(where: str) -> str | float:
    """Where to start: a word, or a time as seconds since 1970. Raises UsageError."""
    if where in ("TRIM_HORIZON", "LATEST"):
        return where
    try:
        found = datetime.fromisoformat(where)
    except ValueError:
        raise UsageError(
            f"--starting-position is {where!r}; write TRIM_HORIZON, LATEST or a time like 2026-01-31T12:00:00Z"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def check_command(arguments: Any) -> None:
    """Raise UsageError for what cannot be of the words that are no settings of a mapping."""
    if not 1 <= arguments.concurrency <= MOST_CONCURRENCY:
        raise UsageError(f"--concurrency is {arguments.concurrency}; write 1 to {MOST_CONCURRENCY}")
    if arguments.until_idle is not None and not 0 < arguments.until_idle < 1e9:
        raise UsageError(f"--until-idle is {arguments.until_idle:g}; write a number of seconds above 0")
    if arguments.invoke is None and arguments.name is None:
        raise UsageError(
            "which function? write --invoke http://127.0.0.1:8080 for one that runs here, or --name for one of Lambda's"
        )
    if arguments.invoke is not None and not re.fullmatch(r"https?://[^/\s@]+/?", arguments.invoke):
        raise UsageError("--invoke is a URL of host and port alone, like http://127.0.0.1:8080")
