"""The records that benchmarks decode, beside `orders`. The same call gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import tarfile
from pathlib import Path
from typing import Any

WEBHOOKS_PACKAGE = "@octokit/webhooks-examples@7.6.1"
WEBHOOKS_SHA256 = "89e6cb1c6345d32e3dd775617fa54effbdc26c859e514898d7728e95e9738280"
CACHE = Path(__file__).parent.parent / ".cache" / "benchmarks"

WIDE_WANTED = {
    f"{kind}_{i}": kind
    for kind, i in (("int64", 3), ("int64", 11), ("int64", 19), ("float64", 2), ("float64", 9), ("float64", 14))
} | {
    f"{kind}_{i}": kind for kind, i in (("string", 0), ("string", 7), ("string", 13), ("string", 19), ("bool", 1), ("bool", 4))
}

WEBHOOK_PATHS = {
    "action": ("string", ("action",)),
    "sender": ("string", ("sender", "login")),
    "sender_id": ("int64", ("sender", "id")),
    "repository": ("string", ("repository", "full_name")),
    "repository_id": ("int64", ("repository", "id")),
    "private": ("bool", ("repository", "private")),
    "owner": ("string", ("repository", "owner", "login")),
    "stars": ("int64", ("repository", "stargazers_count")),
    "organization": ("string", ("organization", "login")),
    "installation": ("int64", ("installation", "id")),
}


def wide(count: int = 4000) -> list[bytes]:
    """Records of 60 keys in one order: 20 integers, 15 floats, 20 strings, 5 bools."""
    draw = random.Random(2)
    made = []
    for _ in range(count):
        row: dict[str, Any] = {}
        for i in range(20):
            row[f"int64_{i}"] = draw.randrange(10 ** (1 + i % 9))
            row[f"string_{i}"] = f"value {draw.getrandbits(12 + i):x}" * (1 + i % 3)
            if i < 15:
                row[f"float64_{i}"] = round(draw.uniform(0, 1000), 1 + i % 4)
            if i < 5:
                row[f"bool_{i}"] = draw.random() < 0.5
        made.append(json.dumps(row, separators=(",", ":")).encode())
    return made


def floats(count: int = 10_000) -> list[bytes]:
    """Records of 8 floats with 17 significant digits."""
    draw = random.Random(3)
    return [
        ("{" + ",".join(f'"f{i}":{draw.random() * 10 ** draw.randrange(-3, 4):.17g}' for i in range(8)) + "}").encode()
        for _ in range(count)
    ]


def webhooks() -> list[bytes]:
    """What GitHub sends: the example payloads of an npm package (MIT), each several times. Raises OSError without npm."""
    archive = CACHE / "webhooks.tgz"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["npm", "pack", "--silent", WEBHOOKS_PACKAGE], cwd=CACHE, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(f"npm cannot fetch {WEBHOOKS_PACKAGE}: {done.stderr.strip()[-200:]}")
        (CACHE / done.stdout.strip().splitlines()[-1]).rename(archive)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != WEBHOOKS_SHA256:
        raise OSError(f"{archive} is not the pinned {WEBHOOKS_PACKAGE}: delete it")
    with tarfile.open(archive) as opened:
        file = opened.extractfile("package/api.github.com/index.json")
        assert file is not None
        kinds = json.load(file)
    examples = [example for kind in kinds for example in kind["examples"]]
    return [json.dumps(example, separators=(",", ":")).encode() for example in examples] * 3
