"""The loop in simulated time, and the parts that need no AWS: answers, checkpoints, the line of counts."""

import io
import json
import os

import pytest

from millstream import clock
from millstream.errors import RunError, UsageError
from millstream.local.emulate.checkpoints import Checkpoints
from millstream.local.emulate.invoke import read_answer
from millstream.local.emulate.live import Line, Report, counted
from millstream.local.emulate.loop import Loop
from millstream.local.emulate.work import Counts
from millstream.local.emulator.answers import Answer, Invocation
from millstream.local.emulator.streams import Place

pytestmark = pytest.mark.once


class Simulated:
    """A clock, work that comes at given times, and a function that takes its time, all in one."""

    def __init__(self, comes, takes):
        self.time, self.comes, self.takes = 100.0, [100.0 + one for one in comes], takes
        self.counts = Counts()
        self.flying, self.started, self.ended = {}, [], []
        self.at = []

    def __getattr__(self, name):
        return getattr(clock._Machine(), name)

    def now(self):
        return self.time

    @property
    def in_flight(self):
        return len(self.flying)

    def poll(self, now):
        came = [one for one in self.comes if one <= now]
        self.comes = self.comes[len(came) :]
        self.counts.received += len(came)
        return [
            Invocation(i, {}, (), "", 0, now, now + 9, "")
            for i in range(self.counts.received - len(came), self.counts.received)
        ]

    def answer(self, invocation, answer, now):
        del self.flying[invocation.number]
        self.counts.acknowledged += 1
        self.ended.append((invocation.number, now - 100.0))

    def wake(self, now):
        return min(self.comes, default=None)

    def start(self, invocation):
        self.started.append((invocation.number, self.time - 100.0))
        self.flying[invocation.number] = (self.time + self.takes, invocation)

    def wait(self, seconds):
        due = min(self.flying.values(), default=None, key=lambda one: one[0])
        until = self.time + seconds
        for when, act in [one for one in self.at if self.time < one[0] <= until]:
            self.time = when
            act()
        if due is not None and due[0] <= until:
            self.time = max(self.time, due[0])
            return [(due[1], Answer())]
        self.time = until
        return []


def simulate(monkeypatch, comes, takes, until_idle, stop_at=None):
    world = Simulated(comes, takes)
    monkeypatch.setattr(clock, "source", world)
    loop = Loop(world, world, until_idle, lambda: None)
    if stop_at is not None:
        world.at = [(100.0 + stop_at, lambda: setattr(loop, "stopping", True))]
    ended = loop.run()
    return ended, round(world.time - 100.0, 2), world


@pytest.mark.parametrize(
    ("comes", "takes", "until_idle", "ends"),
    [
        ([], 1, 5, 5.0),
        ([0], 1, 5, 6.0),  # idle from the last answer on
        ([0, 4.0], 1, 5, 10.0),
        ([0, 30.0], 1, 5, 6.0),
        ([0, 3.0], 40, 5, 48.0),  # what is in flight is waited for
    ],
)
def test_it_ends_when_nothing_comes_and_nothing_is_in_flight(monkeypatch, comes, takes, until_idle, ends):
    ended, time, world = simulate(monkeypatch, comes, takes, until_idle)
    assert ended == "idle"
    assert ends <= time <= ends + 0.3
    assert world.counts.acknowledged == world.counts.received


def test_a_stop_polls_no_more_and_waits_for_what_is_in_flight(monkeypatch):
    ended, time, world = simulate(monkeypatch, [0, 1, 3], 10, None, stop_at=2.0)
    assert ended == "signal"
    assert [number for number, _ in world.started] == [0, 1]
    assert [number for number, _ in world.ended] == [0, 1]
    assert 11.0 <= time < 12.3


def test_an_invocation_starts_when_its_batch_is_there(monkeypatch):
    _, _, world = simulate(monkeypatch, [0.0, 0.37, 2.5], 0.01, 3)
    assert [round(at, 3) for _, at in world.started] == [0.0, 0.37, 2.5]


@pytest.mark.parametrize(
    ("body", "header", "answer"),
    [
        (b"", None, Answer(None)),
        (b"null", None, Answer(None)),
        (b'{"batchItemFailures": []}', None, Answer({"batchItemFailures": []})),
        (b'"text"', None, Answer("text")),
        (b'{"errorMessage": "no", "errorType": "ValueError", "stackTrace": []}', None, Answer(error="ValueError")),
        (b'{"errorMessage": "no", "errorType": "ValueError"}', "Unhandled", Answer(error="ValueError")),
        (b'{"errorMessage": "no"}', "Unhandled", Answer(error="Unhandled")),
        (b'{"errorMessage": "no", "batchItemFailures": []}', None, Answer({"errorMessage": "no", "batchItemFailures": []})),
        (b"null", "Handled", Answer(error="Handled")),
        (b"Task timed out after 3.00 seconds", None, Answer(error="the answer is no JSON")),
    ],
)
def test_what_an_answer_says(body, header, answer):
    assert read_answer(body, header) == answer


STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
PLACES = {"a": Place("12", True), "b": Place("7", False), "c": None}


def test_checkpoints_are_what_was_saved(tmp_path):
    path = str(tmp_path / "checkpoints.json")
    one = Checkpoints(path, STREAM)
    assert one.places == {}
    one.save(PLACES)
    before = os.stat(path).st_ino
    one.save(dict(PLACES))
    assert os.stat(path).st_ino == before, "what is the same is not written"
    one.close()
    two = Checkpoints(path, STREAM)
    assert two.places == PLACES
    assert two.to_dict() == {"a": {"after": "12"}, "b": {"at": "7"}, "c": {"done": True}}
    two.close()
    assert sorted(os.listdir(tmp_path)) == ["checkpoints.json", "checkpoints.json.lock"]


def test_checkpoints_that_cannot_be_written_leave_the_old_ones(tmp_path, monkeypatch):
    path = str(tmp_path / "checkpoints.json")
    one = Checkpoints(path, STREAM)
    one.save(PLACES)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match=r"cannot write the checkpoints .*: No space left on device"):
        one.save({})
    assert one.places == PLACES, "what was not written is not told as saved"
    monkeypatch.undo()
    one.close()
    assert Checkpoints(path, STREAM).places == PLACES


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "it is no JSON; remove it to start anew"),
        ("[]", "holds no checkpoints of this version"),
        (json.dumps({"version": 2, "stream": STREAM, "shards": {}}), "holds no checkpoints of this version"),
        (json.dumps({"version": 1, "stream": "other", "shards": {}}), f"holds the checkpoints of other, not of {STREAM}"),
        (json.dumps({"version": 1, "stream": STREAM, "shards": {"a": {"at": "x"}}}), "checkpoints that cannot be read"),
        (json.dumps({"version": 1, "stream": STREAM, "shards": {"a": 7}}), "checkpoints that cannot be read"),
        (json.dumps({"version": 1, "stream": STREAM, "shards": {"a": {}}}), "checkpoints that cannot be read"),
    ],
)
def test_checkpoints_that_cannot_be_read(tmp_path, text, says):
    path = tmp_path / "checkpoints.json"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        Checkpoints(str(path), STREAM)
    assert says in str(refused.value)
    path.unlink()
    Checkpoints(str(path), STREAM).close()  # the lock was not kept


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_line_of_counts(monkeypatch):
    counts = Counts()
    counts.received, counts.given_up = 12_345, 2
    told = Terminal()
    line = Line(told)
    line.show(counts, 1)
    line.show(counts, 2)  # too soon after the one before
    line.note("something\nhappened")
    line.close()
    clear = "\r\x1b[K"
    shown = f"{clear}12,345 received · 0 acknowledged · 2 given up · 0 invocations · 1 in flight"
    assert told.getvalue() == f"{shown}{clear}millstream: something happened\n{clear}"


def test_what_is_no_terminal_is_told_notes_alone():
    told = io.StringIO()
    line = Line(told)
    line.show(Counts(), 1)
    line.note("something")
    line.close()
    assert told.getvalue() == "millstream: something\n"
    Line(None).note("nobody hears it")


def test_a_report_as_text():
    report = Report("source", "function", "idle", 61.25, Counts().to_dict())
    assert report.render() == ("source to function, 61.2 s, ended: idle\n" + counted(Counts().to_dict()))
    assert counted({"received": 3, "acknowledged": 1, "invocations": 2, "errors": 1, "held": 0}) == (
        "3 received · 1 acknowledged · 2 invocations · 1 errors"
    )
