"""Files are whole or not there; the same object twice is one."""

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from millstream.errors import SettingsError, SinkError, UsageError
from millstream.sinks.store import DirectoryStore, check_apart, open_store


def same(path):
    return None


def test_put_makes_folders_and_leaves_only_the_file(tmp_path):
    store = DirectoryStore(tmp_path / "a" / "b")
    stored = store.put("k=1/x.bin", b"body", {}, same)
    assert stored == (str(tmp_path / "a/b/k=1/x.bin"), 4, True)
    assert [path.name for path in (tmp_path / "a/b/k=1").iterdir()] == ["x.bin"]
    assert Path(stored.url).read_bytes() == b"body"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(Path(stored.url).stat().st_mode) == 0o666 & ~umask


def test_what_stands_there_is_never_replaced(tmp_path):
    store = DirectoryStore(tmp_path)
    store.put("x", b"one", {}, same)
    assert store.put("x", b"two", {}, same).fresh is False
    with pytest.raises(SinkError, match="another object: why"):
        store.put("x", b"two", {}, lambda path: "why")
    assert (tmp_path / "x").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="is a file"):
        DirectoryStore(tmp_path / "file" / "sub").put("x", b"", {}, same)
    with pytest.raises(SinkError, match="is a file"):
        open_store(tmp_path / "file", "the sink")


def test_a_folder_that_may_not_be_written_to(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(SinkError, match="Permission denied"):
        DirectoryStore(tmp_path / "closed").put("x", b"", {}, same)


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path):
    """A limit on file sizes stops the write in the middle, as a full disk does."""
    program = """
        import resource, signal, sys
        from millstream.errors import SinkError
        from millstream.sinks.store import DirectoryStore
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        store = DirectoryStore(sys.argv[1])
        store.put("small", bytes(1000), {}, None)
        try:
            store.put("large", bytes(1 << 20), {}, None)
        except SinkError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "out")], capture_output=True, text=True
    )
    assert "cannot write" in done.stdout, done.stderr
    assert "large" in done.stdout
    assert os.listdir(tmp_path / "out") == ["small"]


def test_urls(tmp_path):
    assert open_store(f"file://{tmp_path}/a%20b", "the sink").root == tmp_path / "a b"
    assert open_store("rel", "the sink").root == Path.cwd() / "rel"
    for url in ("gs://bucket/x", "", "file://host/x", "sqs+https://x"):
        with pytest.raises(SettingsError, match="the sink"):
            open_store(url, "the sink")


def test_rejects_are_not_inside_the_sink(tmp_path):
    for inside in ("out", "out/rejects", "out/../out/x"):
        with pytest.raises(UsageError, match="inside the sink"):
            check_apart(DirectoryStore(tmp_path / "out"), DirectoryStore(tmp_path / inside))
    check_apart(DirectoryStore(tmp_path / "out"), DirectoryStore(tmp_path / "out-rejects"))
