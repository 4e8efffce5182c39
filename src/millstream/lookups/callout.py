"""A call-out: a function of the user's, called once a batch with the keys that are in it, each once.

    def segments(keys):                       # ["c-1", "c-9"], or [("c-1", 7), …] where there are several key columns
        return {"c-1": {"segment": "gold"}}   # what is left out, or None, is missing

A call that raises, or takes longer than `timeout` seconds, is made again after a random wait. A circuit breaker sees to it that a service
that is down is not called by every batch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from millstream import clock
from millstream.classes import dataclass
from millstream.columns import Vector, close, nulls, open_array, take
from millstream.errors import PlanError, RunError
from millstream.hashing import number_keys
from millstream.lookups.matching import Matched, defaults_of, is_rehearsal, placed, with_defaults
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate
from millstream.schema import Code, Type
from millstream.steps import Enrich

BASE_SECONDS, CAP_SECONDS = 0.1, 5.0
"""The first wait is of 0 to so many seconds, the next of twice as many, up to the second number."""

_log = logging.getLogger("millstream.lookups")


class Breaker:
    """A circuit breaker: closed at first; open for `pause` seconds after `failures` calls that failed one after another.

    Then one call is let through: where it succeeds it is closed again, else open for as long. Threads may share it.
    """

    def __init__(self, failures: int, pause: float) -> None:
        self._most, self._pause = failures, pause
        self._lock = threading.Lock()
        self._failed = 0
        self._until: float | None = None

    def allows(self) -> bool:
        """May a call be made now? Whoever is told so tells `succeeded` or `failed`."""
        with self._lock:
            if self._until is None:
                return True
            if clock.monotonic() < self._until:
                return False
            self._until = clock.monotonic() + self._pause  # the others wait for what becomes of this one
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failed, self._until = 0, None

    def failed(self) -> bool:
        """Is it open from now on?"""
        with self._lock:
            self._failed += 1
            if self._failed >= self._most:
                self._until = clock.monotonic() + self._pause
            return self._until is not None


class _Failed(Exception):
    """No call succeeded. Its text says why, without values."""


@dataclass(frozen=True)
class _Answer:
    """What a function gave for each key: columns, which keys it knows, and of which the values do not fit."""

    columns: Mapping[str, pa.Array]
    is_there: Sequence[bool]
    is_wrong: Sequence[bool]

    @classmethod
    def of(cls, rows: Sequence[Any], fields: Mapping[str, Type]) -> _Answer:
        """The answer in what was given for each key: a mapping of columns, or None."""
        wrong = [row is not None and not isinstance(row, Mapping) for row in rows]
        columns = {}
        for name, kind in fields.items():
            values = [row.get(name) if isinstance(row, Mapping) else None for row in rows]
            try:
                columns[name] = pa.array(values, kind.arrow)
            except _MISFITS:
                for at, value in enumerate(values):  # which of them is it?
                    try:
                        pa.array([value], kind.arrow)
                    except _MISFITS:
                        wrong[at], values[at] = True, None
                columns[name] = pa.array(values, kind.arrow)
        return cls(columns, [row is not None for row in rows], wrong)


class CallMatcher:
    """The columns that a function adds. calls, failures: how many calls were made, and failed."""

    def __init__(self, step: Enrich, kinds: Sequence[Type]) -> None:
        for kind in kinds:
            if kind.is_nested or kind.family == "float":
                raise PlanError(f"{kind} cannot be a key; use a column with one value a row that is no float")
        self._step = step
        self.fields: Mapping[str, Type] = dict(step.columns)
        self._defaults = defaults_of(step.on_missing, self.fields, "enrich")
        self.breaker = Breaker(step.failures, step.pause)
        self.calls = self.failures = 0

    def match(self, keys: Sequence[Vector]) -> Matched:
        """See `Matcher`. Raises RunError where the function cannot be called and a batch is to fail then."""
        firsts, numbers = number_keys(keys)
        if not firsts.count or is_rehearsal():
            return self._matched(numbers, _Answer.of([None] * firsts.count, self.fields))
        given = _key_values(keys, firsts)
        try:
            found = self._call(given)
        except _Failed as failed:
            if self._step.on_failure == "fail":
                raise RunError(f"enrich: {failed}") from None
            _log.warning("enrich: %s", failed)
            return self._unmatched(numbers)
        return self._matched(numbers, _Answer.of([found.get(key) for key in given], self.fields))

    def _matched(self, numbers: Memory, answer: _Answer) -> Matched:
        """The answer's row for each row of the batch."""
        places = [at if is_there else -1 for at, is_there in enumerate(answer.is_there)]
        codes = {at: int(Code.UDF_FAILED) for at, is_wrong in enumerate(answer.is_wrong) if is_wrong}
        rows, valid = placed(numbers, places, codes, self._step.on_missing, len(places))
        arrays = answer.columns
        if self._defaults is not None:
            arrays = {name: with_defaults(array, self._defaults[name]) for name, array in arrays.items()}
        return Matched(rows, {name: open_array(array) for name, array in arrays.items()}, valid)

    def _unmatched(self, numbers: Memory) -> Matched:
        """Of a batch without an answer: nulls, or every record that has a key is rejected."""
        rows = allocate(numbers.count, 8)
        kernels.fill_int64(-1, rows)
        columns = {name: nulls(kind, 0) for name, kind in self.fields.items()}
        if self._step.on_failure == "null":
            return Matched(rows, columns)
        valid = allocate(numbers.count, 1)
        kernels.find_missing(numbers, 0, valid)
        kernels.replace_uint8(0, int(Code.UDF_FAILED), valid, valid)
        if self._step.on_missing == "reject":  # a row without a key is not the function's
            kernels.replace_uint8(1, int(Code.NO_MATCH), valid, valid)
        return Matched(rows, columns, valid)

    def _call(self, keys: list[Any]) -> Mapping[Any, Any]:
        """What the function gives, after as many calls as it takes. Raises _Failed."""
        step, reason = self._step, ""
        for attempt in range(step.retries + 1):
            if attempt:
                # Over the whole range: callers that failed together then come back apart.
                clock.sleep(clock.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2 ** (attempt - 1))))
            if not self.breaker.allows():
                told = f"the last call failed: {reason}" if reason else "its last calls failed"
                raise _Failed(f"the function is not called for {step.pause:g} s: {told}")
            self.calls += 1
            try:
                found = _timed(step.function, keys, step.timeout)
            except Exception as error:  # whatever a user's function raises
                reason = str(error) if isinstance(error, _Failed) else f"it raised {type(error).__name__}"
                self.failures += 1
                if self.breaker.failed():
                    _log.warning("enrich: the function failed too often, and is not called for %g s: %s", step.pause, reason)
                continue
            self.breaker.succeeded()
            if not isinstance(found, Mapping):
                raise RunError(
                    f"enrich: the function gave {type(found).__name__}; return a mapping of keys to columns: {{key: {{'name': value}}}}"
                )
            return found
        raise _Failed(f"the function failed: {reason}, after {step.retries + 1} calls")


_MISFITS = (pa.ArrowException, TypeError, ValueError, OverflowError)
"""What Arrow raises for values that are not of a type."""


def _key_values(keys: Sequence[Vector], firsts: Memory) -> list[Any]:
    """The different keys as Python values; of several columns, tuples."""
    columns = [close(take(one, firsts)).to_pylist() for one in keys]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _timed(function: Callable[[list[Any]], Any], keys: list[Any], seconds: float) -> Any:
    """What a function gives within some seconds; it runs in a thread of its own, for nothing else can be left behind."""
    found: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(function(list(keys)))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="millstream-enrich", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not found:
        raise _Failed(f"it gave no answer within {seconds:g} s")
    return found[0]
