"""Layers to AWS: zips that are checked, the commands of the AWS CLI that publish them, or the same done by boto3."""

from __future__ import annotations

import base64
import hashlib
import lzma
import math
import re
import shlex
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from millstream._version import __version__
from millstream.classes import dataclass, field
from millstream.errors import MillstreamError, RunError, UsageError

FOLDER = "layer/dist"
DIRECT_BYTES = 52_428_800
"""What Lambda takes of a zip in a call; a larger one goes by S3."""
UNZIPPED_BYTES = 262_144_000
"""What a function's code and all of its layers may hold together."""

_NAME = re.compile(r"millstream-py3(12|13|14)-(x86_64|arm64)\.zip", re.ASCII)
_KERNELS = {"x86_64": "x86_64", "arm64": "aarch64"}
_VERSION_FILE = "python/millstream/_version.py"
_VERSION = re.compile(r"""^__version__ = ["']([^"'\n]+)["']""", re.MULTILINE)
_READ_SECONDS = 120
"""Lambda unpacks a layer before it answers."""

_LAYER = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"[\w!.*'()/=-]*", re.ASCII)
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}", re.ASCII)


@dataclass(frozen=True)
class Target:
    """Where layers go. name: the start of their names; bucket, prefix: where their zips go first; public, organization: who else
    may use them, everybody or the accounts of one AWS organization. Raises UsageError for what cannot be."""

    name: str = "millstream"
    region: str | None = None
    bucket: str | None = None
    prefix: str = ""
    public: bool = False
    organization: str | None = None

    def __post_init__(self) -> None:
        for option, value, form, advice in (
            ("--name", self.name, _LAYER, "write up to 100 letters, digits, - and _"),
            ("--region", self.region, _REGION, "write a region such as eu-west-1"),
            ("--bucket", self.bucket, _BUCKET, "write a bucket's name, without s3://"),
            ("--prefix", self.prefix, _PREFIX, "write letters, digits and / . - _ = ! * ' ( )"),
            ("--organization", self.organization, _ORGANIZATION, "write an organization's id, o-…"),
        ):
            if value is not None and not form.fullmatch(value):
                raise UsageError(f"{option} is {value!r}; {advice}")
        if self.prefix and self.bucket is None:
            raise UsageError(f"--prefix is {self.prefix!r}, and there is no --bucket that it is in; name one")
        if self.public and self.organization is not None:
            raise UsageError(
                "--public lets everybody use the layers, --organization one organization's accounts; drop one of them"
            )

    @property
    def is_shared(self) -> bool:
        """May others use the layers?"""
        return self.public or self.organization is not None


@dataclass(frozen=True)
class Layer:
    """A zip that can be published. python: its minor version."""

    path: Path
    python: int
    architecture: str
    bytes: int
    unzipped_bytes: int
    sha256: str

    @property
    def runtime(self) -> str:
        return f"python3.{self.python}"

    @property
    def description(self) -> str:
        """It tells the content, so that a layer which is there already is known by it."""
        return f"millstream {__version__} for {self.runtime} on {self.architecture}, sha256 {self.sha256[:16]}"

    def name(self, target: Target) -> str:
        return f"{target.name}-py3{self.python}-{self.architecture}"

    def key(self, target: Target) -> str:
        """The zip's key in the bucket. Other content has another one, so nothing is replaced."""
        prefix = f"{target.prefix.strip('/')}/" if target.prefix.strip("/") else ""
        return f"{prefix}{self.path.stem}-{__version__}-{self.sha256[:16]}.zip"


def find_layers(places: Sequence[str]) -> list[Layer]:
    """The layers of zips, or of folders that hold such, each once, checked. Raises UsageError for one that is none."""
    paths: dict[Path, None] = {}
    for place in places or (FOLDER,):
        path = Path(place)
        if not path.exists():
            made = "; `make layer` makes the layers there" if place == FOLDER else ""
            raise UsageError(f"{place} is not there{made}")
        if not path.is_dir():
            paths[path] = None
            continue
        found = sorted(path.glob("millstream-*.zip"))
        if not found:
            raise UsageError(f"there is no millstream-*.zip in {place}; `make layer` makes the layers in {FOLDER}")
        paths |= dict.fromkeys(found)
    layers = [read_layer(path) for path in paths]
    named: dict[str, Path] = {}
    for one in layers:
        other = named.setdefault(one.path.name, one.path)
        if other != one.path:
            raise UsageError(f"{other} and {one.path} would be the same layer; name one of them")
    return layers


def read_layer(path: Path) -> Layer:
    """Check a zip: its name, what it holds, its sizes. Raises UsageError that says what is wrong with it."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise UsageError(
            f"{path} is no layer's name; write millstream-PYTHON-CPU.zip, py312, py313 or py314, and x86_64 or arm64"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            unzipped = sum(one.file_size for one in archive.infolist())
            _check_content(path, archive, unzipped, named[2])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, EOFError, NotImplementedError, RuntimeError):
        raise UsageError(f"{path} is no zip, or a broken one; make it again") from None
    return Layer(path, int(named[1]), named[2], size, unzipped, digest)


def _check_content(path: Path, archive: zipfile.ZipFile, unzipped: int, architecture: str) -> None:
    if unzipped > UNZIPPED_BYTES:
        raise UsageError(
            f"{path} is {_megabytes(unzipped)} unzipped, and Lambda takes {_megabytes(UNZIPPED_BYTES)}; leave something out of it, "
            "or use a container image"
        )
    names = set(archive.namelist())
    if _VERSION_FILE not in names:
        raise UsageError(f"{path} holds no {_VERSION_FILE}, so it is no layer of Millstream's")
    found = _VERSION.search(archive.read(_VERSION_FILE).decode(errors="replace"))
    version = found[1] if found else "unknown"
    if version != __version__:
        raise UsageError(
            f"{path} holds version {version}, and this is {__version__}; make it again, or use the version it was made by"
        )
    kernels = f"python/millstream/native/objects/{_KERNELS[architecture]}/kernels.so"
    if kernels not in names:
        raise UsageError(f"{path} holds no {kernels}, the kernels for {architecture}; make it again")
    if (broken := archive.testzip()) is not None:
        raise UsageError(f"{path} is broken: {broken} in it does not match its checksum; make it again")


def _megabytes(count: int) -> str:
    return f"{count / (1 << 20):.1f} MB"  # Lambda's limits count so


@dataclass
class Publication:
    """A layer on its way. arn: of its version, once it is published; is_new: was it not there before?"""

    layer: Layer
    target: Target
    arn: str | None = None
    is_new: bool = True
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.target.bucket is None and self.layer.bytes > DIRECT_BYTES:
            raise UsageError(
                f"{self.layer.path} is {_megabytes(self.layer.bytes)}, and Lambda takes {_megabytes(DIRECT_BYTES)} directly; "
                "name a bucket for it: --bucket BUCKET"
            )
        self.commands = list(_commands(self.layer, self.target))

    def to_dict(self) -> dict[str, Any]:
        """As --json prints it."""
        one = self.layer
        return {
            "file": str(one.path),
            "name": one.name(self.target),
            "runtime": one.runtime,
            "architecture": one.architecture,
            "bytes": one.bytes,
            "unzipped_bytes": one.unzipped_bytes,
            "sha256": one.sha256,
            "commands": self.commands,
            "arn": self.arn,
            "is_new": self.is_new if self.arn is not None else None,
        }

    def render(self) -> str:
        """A comment that tells the layer, and its commands, so that a shell can read it; or what was published."""
        one = self.layer
        told = f"{one.path}  {_megabytes(one.bytes)}, {_megabytes(one.unzipped_bytes)} unzipped, sha256 {one.sha256}"
        if self.arn is not None:
            return f"{told}\n{self.arn}{'' if self.is_new else '  (it was there already)'}"
        return "\n".join([f"# {told}", *self.commands])


def _commands(layer: Layer, target: Target) -> Iterator[str]:
    name = layer.name(target)
    region = [] if target.region is None else ["--region", target.region]
    content = ["--zip-file", f"fileb://{layer.path}"]
    if target.bucket is not None:
        key = layer.key(target)
        yield shlex.join(["aws", "s3", "cp", str(layer.path), f"s3://{target.bucket}/{key}", *region])
        content = ["--content", f"S3Bucket={target.bucket},S3Key={key}"]
    publish = shlex.join(
        [
            *("aws", "lambda", "publish-layer-version", "--layer-name", name, "--description", layer.description),
            *("--compatible-runtimes", layer.runtime, "--compatible-architectures", layer.architecture),
            *("--license-info", "Apache-2.0", *content, *region),
        ]
    )
    if not target.is_shared:
        yield publish
        return
    yield f"version=$({publish} --query Version --output text)"
    grant = _grant(target)
    organization = ["--organization-id", target.organization] if target.organization else []
    share = ["aws", "lambda", "add-layer-version-permission", "--layer-name", name]
    allow = ["--statement-id", grant["StatementId"], "--action", grant["Action"], "--principal", grant["Principal"]]
    yield f'{shlex.join(share)} --version-number "$version" {shlex.join([*allow, *organization, *region])}'


def _grant(target: Target) -> dict[str, str]:
    found = {
        "StatementId": "public" if target.public else "organization",
        "Action": "lambda:GetLayerVersion",
        "Principal": "*",
    }
    return found if target.organization is None else found | {"OrganizationId": target.organization}


def publish(publications: Sequence[Publication]) -> MillstreamError | None:
    """Publish one after another, by boto3, and fill in what became of each; the error that ended it.

    What is there already, as descriptions of versions tell, is left as it is: this can be run again.
    """
    from millstream.sinks.clients import make

    if not publications:
        return None
    target = publications[0].target
    try:
        aws = make("lambda", target.region, read_seconds=_READ_SECONDS)
        s3 = make("s3", target.region, read_seconds=_READ_SECONDS) if target.bucket is not None else None
        for one in publications:
            _Run(one, aws, s3).run()
    except MillstreamError as error:
        return error
    return None


@dataclass(frozen=True)
class _Run:
    """One layer being published."""

    one: Publication
    aws: Any
    s3: Any

    def run(self) -> None:
        layer, target, name = self.one.layer, self.one.target, self.one.layer.name(self.one.target)
        found = self._try(
            lambda: self._published(name), f"cannot publish {name}", "lambda:PublishLayerVersion and ListLayerVersions"
        )
        if target.is_shared:
            self._try(
                lambda: self._share(name, found["Version"]),
                f"{found['LayerVersionArn']} is published, and cannot be shared",
                "lambda:AddLayerVersionPermission",
            )
        content = found.get("Content")
        stored = content["CodeSha256"] if content else None
        if stored not in (None, base64.b64encode(bytes.fromhex(layer.sha256)).decode()):
            raise RunError(
                f"{found['LayerVersionArn']} holds other bytes than {layer.path}; delete that version and publish again"
            )
        self.one.arn, self.one.is_new = found["LayerVersionArn"], content is not None

    def _published(self, name: str) -> dict[str, Any]:
        """The version that holds the layer: one that is there, perhaps our own whose answer was lost, or a new one."""
        layer, target = self.one.layer, self.one.target
        versions: list[dict[str, Any]] = self.aws.list_layer_versions(LayerName=name)["LayerVersions"]
        for version in versions:
            if version.get("Description") == layer.description:
                return version
        content: dict[str, Any]
        if target.bucket is None:
            content = {"ZipFile": layer.path.read_bytes()}
        else:
            content = {"S3Bucket": target.bucket, "S3Key": layer.key(target)}
            with layer.path.open("rb") as body:
                self.s3.put_object(Bucket=target.bucket, Key=content["S3Key"], Body=body, ContentType="application/zip")
        made: dict[str, Any] = self.aws.publish_layer_version(
            LayerName=name,
            Description=layer.description,
            Content=content,
            CompatibleRuntimes=[layer.runtime],
            CompatibleArchitectures=[layer.architecture],
            LicenseInfo="Apache-2.0",
        )
        return made

    def _share(self, name: str, version: int) -> None:
        from botocore.exceptions import ClientError

        from millstream.sinks.retry import code_of

        try:
            self.aws.add_layer_version_permission(LayerName=name, VersionNumber=version, **_grant(self.one.target))
        except ClientError as error:
            if code_of(error) != "ResourceConflictException":  # it was shared before
                raise

    def _try(self, attempt: Callable[[], Any], doing: str, action: str) -> Any:
        from millstream.sinks.retry import Backoff, retry

        try:
            return retry(attempt, Backoff(), math.inf, doing=doing, action=action)
        except OSError as error:
            raise RunError(f"cannot read {self.one.layer.path}: {error.strerror or error}") from None
