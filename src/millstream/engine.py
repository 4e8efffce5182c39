"""Run a plan over a batch: decode, step by step, close. Python works per batch; only a rejected record costs it a line."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

import pyarrow as pa

from millstream import clock
from millstream.binding import Applied, Bound, Constant, Input, Now, Widened
from millstream.classes import dataclass, field, replace
from millstream.columns import Vector, constant, filled_bytes, has_errors, nulls, ones, open_array, rows_of, take, take_all
from millstream.decode.payloads import Payloads
from millstream.decode.rejects import Reject, to_batch
from millstream.errors import RunError, UsageError
from millstream.functions import CATALOGUE
from millstream.functions.casts import widened
from millstream.grouping import GREATEST, LAST, LEAST, exploded, flags, group, pick
from millstream.lineage import Lineage
from millstream.native.bind import kernels
from millstream.native.memory import Memory, allocate, from_numbers
from millstream.outcome import MEANING, Account, Outcome
from millstream.plan import Assign, Keep, Plan, Probe, Step
from millstream.planned import Check, Distinct, Gather, Spread
from millstream.schema import BOOL, INT64, Code, Disposition, Field, Type, from_arrow


@dataclass
class Batch:
    """The live columns, and of each row which records it was made from. began: when it began to run, in microseconds since 1970."""

    columns: dict[str, Vector]
    length: int
    lineage: Lineage
    began: int = field(default_factory=lambda: int(clock.now() * 1e6))


def run(plan: Plan, source: Payloads | pa.RecordBatch) -> Outcome:
    """What the plan makes of a batch. Raises only for a batch that is not what the plan was made for; bad records are rejected."""
    started = perf_counter()
    batch, account = _open_batch(plan, source) if isinstance(source, pa.RecordBatch) else _decode(plan, source)
    decoded = perf_counter()
    for step in plan.steps:
        advance(step, batch, account)
    outcome = _close(plan, source, batch, account)
    outcome.seconds.update(decode=decoded - started, steps=perf_counter() - decoded)
    return outcome


def advance(step: Step, batch: Batch, account: Account) -> None:
    """One step."""
    match step:
        case Assign():
            _assign(step, batch, account)
        case Keep():
            _keep(step, batch, account)
        case Probe():
            _probe(step, batch, account)
        case Distinct():
            _distinct(step, batch)
        case Check():
            _check(step, batch, account)
        case Spread():
            _spread(step, batch)
        case Gather():
            _gather(step, batch, account)
    if len(step.live) != len(batch.columns):  # what lives is among them, so that its number tells
        batch.columns = {name: one for name, one in batch.columns.items() if name in step.live}


def evaluate(bound: Bound, batch: Batch) -> Vector:
    """The column that a typed expression gives."""
    match bound:
        case Applied():
            arguments, columns = [], batch.columns
            for one in bound.arguments:  # a loop, and no call for a column: this is run for each function of each batch
                if type(one) is Input:
                    arguments.append(columns[one.name])
                elif type(one) is Constant:
                    arguments.append(_literal(one, batch.length))
                else:
                    arguments.append(evaluate(one, batch))
            return bound.function.evaluate(arguments, bound.options, bound.type, batch.length)
        case Input():
            return batch.columns[bound.name]
        case Constant():
            return _literal(bound, batch.length)
        case Widened():
            return widened(evaluate(bound.inner, batch), bound.type)
        case Now():
            return constant(bound.type, batch.began, batch.length)


_MOST_KEPT, _LONGEST_KEPT = 32, 1 << 17
_kept: dict[tuple[str, str], Vector] = {}


def _literal(bound: Constant, length: int) -> Vector:
    """A literal in every row. Nobody writes to a column that was made, so that the next batch may read the same one."""
    if length > _LONGEST_KEPT:
        return constant(bound.type, bound.value, length)
    found = _kept.get(bound.key)
    if found is None or found.length < length:
        found = constant(bound.type, bound.value, length)
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[bound.key] = found
    if found.length == length:
        return found
    values, valid = found.values, found.valid
    if valid is not None or bound.type.physical == "decimal":
        return rows_of(found, 0, length)
    values = Memory(values.owner, values.address, length, values.itemsize)
    return Vector(bound.type, length, values, None, found.data, one=found.one)


def forget_literals() -> None:
    """Have the next batch make its literals anew."""
    _kept.clear()


def _assign(step: Assign, batch: Batch, account: Account) -> None:
    made: dict[str, Vector] = {}
    wrong: dict[str, Vector] = {}
    columns = batch.columns
    for name, one in step.columns:
        if type(one) is Input:  # no column of a batch has errors
            made[name] = columns[one.name]
            continue
        column = made[name] = evaluate(one, batch)
        if has_errors(column.valid):
            wrong[name] = column
    bad = _reject_errors(step.where, wrong, batch, account) if wrong else []
    columns |= made
    if bad:
        _drop_rows(bad, batch, step.live)


def _keep(step: Keep, batch: Batch, account: Account) -> None:
    tests = [evaluate(one, batch) for _, one in step.predicates]
    bad: list[int] = []
    for (name, _), test in zip(step.predicates, tests, strict=True):
        if has_errors(test.valid):
            bad += _reject_errors(step.where, {name: test}, batch, account)
    mask = tests[0]
    for test in tests[1:]:
        mask = CATALOGUE["and"].evaluate([mask, test], {}, BOOL, batch.length)
    if bad and not batch.lineage.is_plain:
        mask = Vector(BOOL, batch.length, _without(bad, mask.values), mask.valid)
    _select(batch, mask, step.live)  # neither null nor error is true


def _probe(step: Probe, batch: Batch, account: Account) -> None:
    found = step.lookup.match([batch.columns[name] for name in step.on])
    added = take_all([found.columns[name] for _, name in step.added], found.rows, gaps=True) if step.added else []
    batch.columns |= {new: one for (new, _), one in zip(step.added, added, strict=True)}
    if step.how == "left" and found.valid is None:
        return
    if step.how == "left":
        kept = filled_bytes(1, batch.length)
    else:
        kept = allocate(batch.length, 1)
        kernels.find_missing(found.rows, int(step.how != "anti"), kept)
    mask = Vector(BOOL, batch.length, kept, found.valid)
    bad = _reject_errors(step.where, {step.on[0]: mask}, batch, account)
    if bad and not batch.lineage.is_plain:
        mask = Vector(BOOL, batch.length, _without(bad, kept), found.valid)
    _select(batch, mask, step.live)


def _distinct(step: Distinct, batch: Batch) -> None:
    """Rows keep their order, whichever of a group stays."""
    groups = group([batch.columns[name] for name in step.by], batch.length)
    if step.keep == "none":
        sizes, alone = allocate(groups.count, 8), allocate(groups.count, 1)
        kernels.count_groups(ones(batch.length), groups.ids, sizes)
        kernels.equal_int64(sizes, constant(INT64, 1, groups.count).values, 0, alone)
        mask = allocate(batch.length, 1)
        kernels.take_uint8(alone, groups.ids, mask)
    else:
        chosen = groups.firsts
        if step.order_by:
            order = [batch.columns[name] for name in step.order_by]
            chosen = pick(order, groups.ids, groups.count, GREATEST if step.keep == "last" else LEAST)
        elif step.keep == "last":
            chosen = pick((), groups.ids, groups.count, LAST)
        mask = flags(chosen, batch.length)
    _select(batch, Vector(BOOL, batch.length, mask), step.live)


def _check(step: Check, batch: Batch, account: Account) -> None:
    """Rows for which the rule is false or null break it. Where it cannot be computed the record is rejected, whatever the action."""
    rule = evaluate(step.rule, batch)
    bad = _reject_errors(step.where, {step.column or "": rule}, batch, account)
    if bad:
        _drop_rows(bad, batch, frozenset(batch.columns))
        rule = evaluate(step.rule, batch)
    held = allocate(batch.length + 1, 8)
    held = held.part(0, kernels.filter_indices(rule.values, rule.validity(), held), 8)
    broken = batch.length - held.count
    account.failed_by_rule[step.called] = broken
    if not broken and step.action != "flag":
        return
    holds = Vector(BOOL, batch.length, flags(held, batch.length))
    if step.action == "flag":
        batch.columns[step.called] = holds
    elif step.action == "drop":
        _select(batch, holds, step.live)
    elif step.action == "fail":
        raise RunError(f"{step.where}: {broken:,} of {batch.length:,} rows break the rule {step.called!r}, so none is written")
    else:
        holds.valid = filled_bytes(int(Code.RULE_FAILED), batch.length)
        kernels.scatter_uint8(1, held, holds.valid)
        meaning = f"the rule {step.called!r} is broken"
        _drop_rows(_reject_errors(step.where, {step.column or "": holds}, batch, account, meaning), batch, step.live)


def _spread(step: Spread, batch: Batch) -> None:
    lists = batch.columns.pop(step.column)
    parents, items = exploded(lists.values, lists.valid, step.keep_empty, step.keep_nulls)
    _take_rows(batch, parents, step.live)
    batch.lineage = replace(batch.lineage, shared=True)
    if step.column in step.live:
        batch.columns[step.column] = take(lists.children[0], items, gaps=True)


def _gather(step: Gather, batch: Batch, account: Account) -> None:
    """A group's row is made from all records of its rows: they are written, filtered or rejected with it."""
    from millstream.aggregates import AGGREGATES

    keys = [name for name, _ in step.keys]
    made = {name: evaluate(one, batch) for name, one in step.keys} | {
        name: evaluate(one, batch) for name, _, one in step.aggregates
    }
    bad = _reject_errors(step.where, made, batch, account)
    batch.columns = made
    _drop_rows(bad, batch, frozenset(made))
    before, groups = batch.columns, group([batch.columns[name] for name in keys], batch.length)
    batch.columns = dict(zip(keys, take_all([before[name] for name in keys], groups.firsts), strict=True))
    aggregates = {name: AGGREGATES[function].of(before[name], groups) for name, function, _ in step.aggregates}
    batch.length, batch.lineage = groups.count, batch.lineage.grouped(groups)
    bad = _reject_errors(step.where, aggregates, batch, account)
    batch.columns |= aggregates
    _drop_rows(bad, batch, step.live)


def _select(batch: Batch, mask: Vector, live: frozenset[str]) -> None:
    """Keep the rows where the mask is true, of the columns that are still needed."""
    indices = allocate(batch.length + 1, 8)
    count = kernels.filter_indices(mask.values, mask.validity(), indices)
    if count < batch.length:
        _take_rows(batch, indices.part(0, count, 8), live)


def _take_rows(batch: Batch, rows: Memory, live: frozenset[str]) -> None:
    """These rows, of the columns that are still needed. String bytes stay where they are."""
    names = [name for name in batch.columns if name in live]
    columns = [batch.columns[name] for name in names]
    numbers, *taken = take_all([Vector(INT64, batch.length, batch.lineage.numbers), *columns], rows)
    batch.columns = dict(zip(names, taken, strict=True))
    lineage = batch.lineage
    batch.length, batch.lineage = rows.count, Lineage(numbers.values, lineage.feeds, lineage.shared)


def _drop_rows(bad: list[int], batch: Batch, live: frozenset[str]) -> None:
    if bad:
        _select(batch, Vector(BOOL, batch.length, _without(bad, ones(batch.length))), live)


def _without(rows: list[int], mask: Memory) -> Memory:
    """A mask in which these rows are false."""
    made = allocate(mask.count, 1)
    kernels.copy_uint8(mask, made)
    kernels.scatter_uint8(0, from_numbers("q", rows), made)
    return made


def _reject_errors(
    where: str, made: Mapping[str, Vector], batch: Batch, account: Account, meaning: str | None = None
) -> list[int]:
    """Reject the records of rows with an error code in one of these columns, the first column's first; the rows that go with them."""
    bad: dict[int, tuple[Code, str | None, int, str]] = {}
    for name, vector in made.items():
        valid = vector.valid
        if not has_errors(valid):
            continue
        rows = allocate(batch.length, 8)
        rows = rows.part(0, kernels.find_errors(valid, rows), 8)
        codes = allocate(rows.count, 1)
        kernels.take_uint8(valid, rows, codes)
        reasons = {
            code: (
                Code(code),
                name or None,
                -1,
                f"{where}: {meaning or MEANING.get(Code(code), 'the value cannot be computed')}",
            )
            for code in set(codes.tolist("B"))
        }
        for row, code in zip(rows.tolist(), codes.tolist("B"), strict=True):
            bad.setdefault(row, reasons[code])
    if not bad:
        return []
    records, gone = batch.lineage.together(bad)
    known = {one.position for one in account.rejects}
    account.rejects += (Reject(record, *bad[row]) for record, row in records.items() if record not in known)
    return gone


def _decode(plan: Plan, payloads: Payloads) -> tuple[Batch, Account]:
    if payloads.size >= 1 << 31:
        raise RunError("a batch holds more than 2 GiB of text; make it smaller")
    decoded = plan.decoder.decode(payloads)
    account = Account(
        payloads.count,
        payloads.bytes_in,
        list(decoded.rejects),
        dict(decoded.nulls_on_error),
        dict(decoded.unknown_keys),
        dict(decoded.missing_columns),
    )
    return Batch(dict(decoded.columns), decoded.length, Lineage(decoded.row_source)), account


def _open_batch(plan: Plan, source: pa.RecordBatch) -> tuple[Batch, Account]:
    length = source.num_rows
    columns = {one.name: _open_column(one, source) for one in plan.decoded}
    row_source = allocate(length, 8)
    kernels.fill_sequence(row_source)
    batch, account = Batch(columns, length, Lineage(row_source)), Account(length, source.nbytes)
    for one in plan.decoded:
        vector = columns[one.name]
        if not one.nullable and vector.valid is not None:
            marked = allocate(length, 1)
            kernels.replace_uint8(0, int(Code.NOT_NULL), vector.valid, marked)
            columns[one.name] = replace(vector, valid=marked)
    bad = _reject_errors("input", columns, batch, account)
    _drop_rows(bad, batch, frozenset(columns))
    return batch, account


def _open_column(one: Field, source: pa.RecordBatch) -> Vector:
    found = source.schema.get_all_field_indices(one.name)
    if len(found) != 1:
        raise UsageError(
            f"the batch has {len(found) or 'no'} column{'s'[: len(found)]} {one.name!r}, which the pipeline reads; "
            f"it has {', '.join(source.schema.names)}"
        )
    array, wanted = source.column(found[0]), one.holds
    if pa.types.is_null(array.type):
        return nulls(wanted, len(array))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = from_arrow(array.type)
    if kind is None or not (kind == wanted or _alike(kind, wanted)):
        raise UsageError(f"the batch's column {one.name!r} is {array.type} and cannot be read as {one.type}; cast it first")
    vector = open_array(array)
    # Values that do not fit reject their records, as from any other input.
    return vector if kind == wanted else CATALOGUE["cast"].evaluate([vector], {"strict": True}, wanted, vector.length)


def _alike(kind: Type, wanted: Type) -> bool:
    """Are both of one family, so that the values of one are read as the other's?"""
    if kind.is_nested or (kind.family == "decimal" and kind.scale > wanted.scale):  # a digit cut off would go unseen
        return False
    return kind.family == wanted.family or (kind.family, wanted.family) in (("int", "float"), ("int", "decimal"))


def _close(plan: Plan, source: Payloads | pa.RecordBatch, batch: Batch, account: Account) -> Outcome:
    lineage, columns = batch.lineage, batch.columns
    kept = batch.length
    if not lineage.is_plain:
        found = lineage.dispositions(account.delivered, [one.position for one in account.rejects])
        # To count what is everywhere takes ten times as long.
        kept = account.delivered - len(found.tobytes().translate(None, bytes((Disposition.KEPT,))))
    return Outcome(
        plan.schema,
        tuple([columns[name] for name, _ in plan.output]),
        to_batch(account.rejects, source.payload if isinstance(source, Payloads) else lambda position: None),
        account.counts(kept, batch.length),
        lineage,
    )
