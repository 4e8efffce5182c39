"""Names of objects that the ledger's attempts write, read back."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = r"(?:0|[1-9][0-9]{0,128})"
_BASE = re.compile(rf"([0-9a-f]{{8}})-([\w.-]{{1,200}})-({_NUMBER})-({_NUMBER})-a([1-9][0-9]{{0,17}})", re.ASCII)
_ROWS = re.compile(r"(.+)-0000(\.parquet|\.json|\.ndjson)", re.ASCII)
_PLAIN_BASE = re.compile(r"[0-9a-f]{32}(?:-[0-9]+)?", re.ASCII)
MARKER = re.compile(r"_millstream-ledger-[0-9a-f]{32}", re.ASCII)
MANIFEST = re.compile(r"_millstream-manifest-([0-9a-f]{32})", re.ASCII)


class Attempted(NamedTuple):
    """What a name tells. source: the start of its hash."""

    source: str
    shard: str
    first: int
    last: int
    attempt: int
    suffix: str

    @property
    def range(self) -> str:
        """As the tag `source` tells it."""
        return f"{self.shard}:{self.first}-{self.last}"


def parse(name: str, *, rejects: bool = False) -> Attempted | None:
    """What an object's name tells: of rows, or of rejects. None for a name that no attempt gives."""
    file = name.rpartition("/")[2]
    if rejects:
        base, dot, suffix = file.rpartition(".")
        if not dot or suffix != "parquet":
            return None
        suffix = ".parquet"
    else:
        named = _ROWS.fullmatch(file)
        if named is None:
            return None
        base, suffix = named.groups()
    found = _BASE.fullmatch(base)
    if found is None:
        return None
    source, shard, first, last, attempt = found.groups()
    return Attempted(source, shard, int(first), int(last), int(attempt), suffix)


def is_ours(name: str, *, rejects: bool = False) -> bool:
    """Is it a name that a handler or a run gives an object?"""
    if parse(name, rejects=rejects) is not None:
        return True
    file = name.rpartition("/")[2]
    named = _ROWS.fullmatch(file)
    base = named[1] if named is not None else file.removesuffix(".parquet") if rejects else ""
    return _PLAIN_BASE.fullmatch(base) is not None
