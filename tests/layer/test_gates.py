"""Each gate refuses what is planted for it, and nothing else."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from layer import LayerError, Target, build, fetch, gates, pack, targets

pytestmark = pytest.mark.once
PLACES = [Path("/work/checkout"), Path("/root")]


def plain(root: Path) -> Path:
    """A small tree that every gate lets through."""
    for name, data in {
        "a/__init__.py": "",
        "b/__init__.py": "",
        "a/x.py": "x = '/opt/rh/gcc/root/usr'\n",
        "a.dist-info/licenses/LICENSE": "MIT",
        "b.dist-info/licenses/LICENSE": "MIT",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(data)
    pack.normal_modes(root)
    return root


def told(root: Path) -> list[str]:
    return [
        *gates.foreign(root),
        *gates.kinds(root),
        *gates.twice(root),
        *gates.contents(root, PLACES),
        *gates.links(root, "x86_64"),
        *gates.sizes(root, 1),
    ]


def test_a_plain_layer_passes(tmp_path: Path):
    assert told(plain(tmp_path)) == []


KEY = "AKIA" + "IOSFODNN7ABCDEFG"
PLANTED: list[tuple[Callable[[Path], object], str]] = [
    (lambda root: (root / "link").symlink_to("a"), "link is a symbolic link"),
    (lambda root: (root / "a" / "x.py").chmod(0o666), "a/x.py can be written by others"),
    (lambda root: (root / "a").chmod(0o777), "a can be written by others"),
    (lambda root: (root / "y.py").write_text((root / "a/x.py").read_text()), "a/x.py and y.py are the same file"),
    (lambda root: (root / "p.py").write_text("# /work/checkout/p.py"), "p.py names /work/checkout, a folder of the machine"),
    (lambda root: (root / "p.so").write_bytes(b"\0/root/p\0"), "p.so names /root, a folder of the machine"),
    (lambda root: (root / "s.py").write_text(f"key = '{KEY}'"), "s.py holds what looks like an access key's id"),
    (
        lambda root: (root / "s.py").write_text(f"aws_secret_access_key = '{'a1B/' * 10}'"),
        "s.py holds what looks like a secret access key",
    ),
    (
        lambda root: (root / "s.pem").write_text(f"-----BEGIN RSA PRIVATE KEY-----\n{'abcd' * 30}\n"),
        "s.pem holds what looks like a private key",
    ),
    (lambda root: (root / "numpy").mkdir(), "numpy is in it"),
    (lambda root: (root / "boto3").mkdir(), "boto3 is in it"),
    (lambda root: (root / "a" / "x.pyx").write_text("z"), "a/x.pyx has no use in a function"),
]


@pytest.mark.parametrize(("plant", "message"), PLANTED, ids=[message for _, message in PLANTED])
def test_a_planted_fault_is_told(tmp_path: Path, plant: Callable[[Path], object], message: str):
    plant(plain(tmp_path))
    found = told(tmp_path)
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_sizes_have_their_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gates, "MOST_UNZIPPED", 10)
    assert gates.sizes(plain(tmp_path), gates.MOST_ZIPPED) == ["0.0 MB unzipped, at most 0"]
    monkeypatch.undo()
    assert gates.sizes(tmp_path, gates.MOST_ZIPPED + 1) == ["34.0 MB zipped, at most 34"]


def test_a_zip_is_the_same_whatever_the_folder_and_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("one", "another/place"):
        plain(tmp_path / name)
    for path in (tmp_path / "one").rglob("*"):
        path.touch()
    pack.write_zip(tmp_path / "one", tmp_path / "1.zip")
    pack.write_zip(tmp_path / "another" / "place", tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {(entry.date_time, entry.external_attr >> 16) for entry in entries} == {((1980, 1, 1, 0, 0, 0), 0o100644)}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert pack.moment() == (2023, 11, 14, 22, 13, 20)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(LayerError, match="SOURCE_DATE_EPOCH is 'soon'"):
        pack.moment()
    assert {path.name for path in tmp_path.iterdir()} == {"one", "another", "1.zip", "2.zip"}


@pytest.mark.parametrize(
    ("pythons", "arches", "names"),
    [
        ("3.12", "x86_64", ["py312-x86_64"]),
        ("py312,313", "arm64", ["py312-arm64", "py313-arm64"]),
        ("python3.14 py314", "aarch64, x86_64", ["py314-arm64", "py314-x86_64"]),
    ],
)
def test_targets_are_chosen_as_people_write_them(pythons: str, arches: str, names: list[str]):
    assert [target.name for target in targets(pythons, arches)] == names


@pytest.mark.parametrize(
    ("pythons", "arches", "word"), [("3.11", "arm64", "Python '3.11'"), ("3.12", "mips", "architecture 'mips'")]
)
def test_a_target_that_lambda_has_not_is_refused(pythons: str, arches: str, word: str):
    with pytest.raises(LayerError, match=word):
        targets(pythons, arches)


TAGS = [
    ("cp312", "cp312", "manylinux_2_28_aarch64", True),
    ("cp312", "cp312", "manylinux2014_aarch64.manylinux_2_17_aarch64", True),
    ("py3", "none", "any", True),
    ("cp310", "abi3", "manylinux_2_28_aarch64", True),
    ("cp313", "cp313", "manylinux_2_28_aarch64", False),
    ("cp312", "cp312", "manylinux_2_28_x86_64", False),
    ("cp312", "cp312t", "manylinux_2_28_aarch64", False),
    ("py2", "none", "any", False),
]


@pytest.mark.parametrize(("python", "abi", "platform", "fits"), TAGS)
def test_a_wheel_is_for_the_target_by_its_tags(python: str, abi: str, platform: str, fits: bool):
    assert fetch.fits(python, abi, platform, Target("3.12", "arm64")) == fits


def test_every_package_of_the_lock_file_is_one_version_with_hashes():
    known = fetch.locked(fetch.LOCK.read_text())
    assert known.keys() == {"pyarrow", "orjson", "pyyaml", "aws-lambda-powertools", "jmespath", "typing-extensions"}
    assert {name: len(hashes) for name, (_, hashes) in known.items() if len(hashes) > 1} == {
        "pyarrow": 6,
        "orjson": 6,
        "pyyaml": 6,
    }


def test_a_wheel_that_was_changed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetch, "CACHE", tmp_path)
    monkeypatch.setattr(fetch, "_pip", lambda *arguments: None)
    folder = tmp_path / "wheels" / "py312-arm64"
    folder.mkdir(parents=True)
    (folder / "jmespath-1.1.0-py3-none-any.whl").write_bytes(b"changed")
    with pytest.raises(LayerError, match=r"does not hold what requirements\.lock lists"):
        fetch.wheels(Target("3.12", "arm64"))
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("pyarrow/__init__.py", "pyarrow"),
        ("pyarrow/lib.cpython-312-x86_64-linux-gnu.so", "pyarrow.lib"),
        ("orjson/orjson.abi3.so", "orjson.orjson"),
        ("typing_extensions.py", "typing_extensions"),
        ("pyarrow/libarrow.so.2600", None),
        ("pyarrow/lib.pyx", None),
    ],
)
def test_a_file_is_a_module_by_its_path(path: str, module: str | None):
    assert build.module_of(path) == module
