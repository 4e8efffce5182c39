"""`make bench-compare`: two sources that differ in what is planted, measured by real processes in turn."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.once

# A suite of three cases over a package of its own, called as ours is.
SUITE = {
    "pytest.ini": "[pytest]\npython_files = bench_*.py\npython_functions = bench_*\n",
    "conftest.py": """
        import sys, time
        sys.path.insert(0, {benchmarks!r})
        import pytest
        import turns

        CHANNEL = turns.from_environment()

        def pytest_configure(config):
            config.pluginmanager.register(CHANNEL, "turns")

        @pytest.fixture
        def contest(request):
            return CHANNEL.contest(request.node.nodeid, time.process_time)
    """,
    "bench_work.py": """
        import millstream
        import pytest

        @pytest.mark.parametrize("name", ["steady", "planted", "new", "broken"])
        def bench_work(name, contest):
            contest(f"case {{name}}", {{"millstream": getattr(millstream, name), "peer": None}})
    """,
}
PACKAGE = """
    def steady(): sum(range(40_000))
    def planted(): sum(range({planted}))
    def broken(): raise OSError("no such thing")
"""


def write(folder: Path, files: dict[str, str], **values: object) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            line.removeprefix("        " if "conftest" in name or "bench_" in name else "    ") for line in text.splitlines()
        ]
        path.write_text("\n".join(lines).format(**values) + "\n")
    return folder


def test_a_planted_slowdown_is_found_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the suite needs none, and each process would import them
    import compare

    suite = write(tmp_path / "suite", SUITE, benchmarks=str(BENCHMARKS))
    base = write(tmp_path / "base", {"millstream/__init__.py": PACKAGE}, planted=40_000)
    new = "\n    def new(): pass\n"
    head = write(tmp_path / "head", {"millstream/__init__.py": PACKAGE + new}, planted=160_000)
    found = compare.compare(base, head, 3, 15, [], suite)
    told = {case.partition("[")[2]: one for case, one in found.items()}
    lines, slower = compare.table(found, 0.05)
    assert slower == 1, "\n".join(lines)
    assert "SLOWER" in next(line for line in lines if "case planted" in line)
    assert "SLOWER" not in next(line for line in lines if "case steady" in line)
    assert told["new]"].why.startswith("base:"), told["new]"].why
    assert "no attribute 'new'" in told["new]"].why
    assert "no such thing" in told["broken]"].why

    with pytest.raises(compare.CompareError, match="nothing can be compared: no benchmark was selected"):
        compare.compare(base, head, 2, 5, ["-k", "nothing_is_called_so"], suite)


def test_what_fails_in_one_of_its_turns_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    import compare

    suite = write(tmp_path / "suite", SUITE, benchmarks=str(BENCHMARKS))
    tiring = "\n    CALLS = iter(range(4))\n    def steady():\n        if next(CALLS, None) is None: raise OSError('tired')\n"
    source = write(tmp_path / "source", {"millstream/__init__.py": PACKAGE + tiring}, planted=40_000)
    with pytest.raises(compare.CompareError, match=r"bench_work\[steady\] failed: OSError: tired"):
        compare.compare(source, source, 2, 5, ["-k", "steady"], suite)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-revision"], "git knows no revision 'no-such-revision' here: name a commit"),
        (["HEAD", "--processes", "1"], "--processes takes 2 or more"),
        (["HEAD", "--pairs", "1"], "--pairs 5 or more"),
    ],
)
def test_mistakes_are_told(arguments: list[str], said: str):
    done = subprocess.run([sys.executable, BENCHMARKS / "compare.py", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
