"""Steps in pipeline files: what is written comes back, editors are told the same, and mistakes have line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import step_forms
from millstream.cli import main
from millstream.decode.dialect import SETTINGS
from millstream.documents import loads, place_of
from millstream.errors import PlanError, SpecError, UsageError
from millstream.expr import col
from millstream.file_schema import file_schema
from millstream.lookups.described import JOIN_KEYS
from millstream.pipeline import Pipeline
from millstream.spec import _READERS, INPUT, LIMITS
from tests.test_spec import HEAD

jsonschema = pytest.importorskip("jsonschema", reason="NOT TESTED: jsonschema is not installed; pip install -e '.[dev]'")
ROOT = Path(__file__).parents[2]
P = Pipeline({"a": "int64", "s": "string", "columns": "string", "l": "list<string>"})
FLAT = Pipeline({"a": "int64"})

FORMS: list[tuple[str, Pipeline]] = [
    ("cast: {a: string}", P.cast({"a": "string"})),
    ("cast: {columns: {a: string, s: int64}, strict: false}", P.cast({"a": "string", "s": "int64"}, strict=False)),
    ("cast: {columns: int64}", P.cast({"columns": "int64"})),
    ("cast: {columns: {columns: int64}, strict: false}", P.cast({"columns": "int64"}, strict=False)),
    ("unique: [a, s]", P.unique(["a", "s"])),
    ("unique: []", FLAT.unique()),
    ("unique: {subset: a, keep: last, order_by: s}", P.unique("a", keep="last", order_by="s")),
    ("unique: {keep: none}", FLAT.unique(keep="none")),
    ("expect: a > 0", P.expect(col("a") > 0)),
    ("expect: {rule: a > 0, action: flag, name: positive}", P.expect(col("a") > 0, "flag", name="positive")),
    ("explode: l", P.explode("l")),
    ("explode: {column: l, empty_as_null: true, keep_nulls: false}", P.explode("l", empty_as_null=True, keep_nulls=False)),
    ("group_by: {keys: [s], agg: [a.sum()]}", P.group_by("s").agg(col("a").sum())),
    (
        "group_by: {keys: {t: s.str.to_lowercase()}, agg: {n: a.len(), top: (a * 2).max()}}",
        P.group_by(col("s").str.to_lowercase().alias("t")).agg(n=col("a").len(), top=(col("a") * 2).max()),
    ),
]


@pytest.mark.parametrize(("text", "pipeline"), FORMS, ids=[text for text, _ in FORMS])
def test_a_step_is_read_written_and_known_to_editors(text: str, pipeline: Pipeline) -> None:
    head = f"version: 1\nschema: {json.dumps(pipeline.to_spec()['schema'])}\n"
    said = loads(head + f"steps:\n  - {text}\n")
    jsonschema.validate(said, file_schema())
    read = Pipeline.from_spec(said)
    assert read.plan().schema == pipeline.plan().schema
    written = read.to_spec()
    jsonschema.validate(written, file_schema())
    assert Pipeline.from_spec(json.loads(json.dumps(written))).to_spec() == written
    if "str.to_lowercase" not in text:  # there the name stands in the text too
        assert written == pipeline.to_spec()


JOINS = [
    "{lookup: t.csv, key: code, on: s}",
    "{lookup: t.csv, key: [code, n], on: [s, a], how: semi, keep: last, refresh: 15m, schema: {code: string, n: {type: int64}}}",
    "{lookup: t.csv, key: code, range: [low, high], closed: both, on: [s, a], on_missing: {rate: 0}}",
    "{lookup: t.csv, ip_range: [low, high], on: s, on_missing: reject, refresh: 90}",
    "{lookup: t.csv, cidr: network, on: s, how: anti}",
]
INPUTS = [
    {
        "format": "csv",
        "delimiter": ";",
        "quote": None,
        "escape": "\\",
        "header": False,
        "comment": "#",
        "null_values": ["", "NA"],
    },
    {
        "format": "csv",
        "header": ["a", "s"],
        "ragged": "fit",
        "encoding": "latin-1",
        "null_values": "NA",
        "max_record_bytes": 100,
    },
]


@pytest.mark.parametrize("join", JOINS)
def test_joins_are_known_to_editors(join: str) -> None:
    said = loads(f"version: 1\nschema: {{a: int64, s: string}}\nsteps:\n  - join: {join}\n")
    jsonschema.validate(said, file_schema())
    jsonschema.validate(Pipeline.from_spec(said).to_spec(), file_schema())


@pytest.mark.parametrize("settings", INPUTS, ids=str)
def test_settings_of_csv_are_known_to_editors(settings: dict[str, Any]) -> None:
    said = {"version": 1, "schema": {"a": "int64", "s": "string"}, "input": settings}
    jsonschema.validate(said, file_schema())
    jsonschema.validate(Pipeline.from_spec(said).to_spec(), file_schema())


def test_editors_know_every_key_of_joins_and_csv() -> None:
    properties = file_schema()["properties"]
    joins = [one["properties"]["join"] for one in properties["steps"]["items"]["anyOf"] if "join" in one["properties"]]
    assert set(joins[0]["properties"]) == set(JOIN_KEYS)
    assert set(properties["input"]["properties"]) == {*INPUT, *LIMITS, *SETTINGS}


@pytest.mark.parametrize(
    "join",
    ["{lookup: t.csv, on: s}", "{lookup: t.csv, key: k}", "{lookup: t.csv, key: k, on: s, how: outer}", "{key: k, on: s}"],
)
def test_editors_refuse_such_joins(join: str) -> None:
    said = loads(f"version: 1\nschema: {{s: string}}\nsteps:\n  - join: {join}\n")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(said, file_schema())


def test_every_step_of_the_python_api_has_a_form() -> None:
    builders = {"with_columns", "filter", "drop_nulls", "select", "drop", "rename", "join", *step_forms.FORMS}
    assert builders == _READERS.keys() | step_forms.FORMS.keys()
    assert all(hasattr(Pipeline, name) for name in builders)


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("examples/*/*.yaml"), *ROOT.glob("sam/function/*.yaml")]), ids=lambda path: path.parent.name
)
def test_the_schema_takes_the_examples(path: Path) -> None:
    jsonschema.validate(loads(path.read_text()), file_schema())


def test_the_schema_in_the_docs_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--schema"]) == 0
    told = capsys.readouterr().out
    jsonschema.Draft202012Validator.check_schema(json.loads(told))
    path = ROOT / "docs" / "reference" / "pipeline.schema.json"
    assert path.read_text() == told, f"run: millstream plan --schema > {path.relative_to(ROOT)}"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            "unique: {subset: a, kep: last}",
            "line 4, column 25: step 1 (unique): there is no key 'kep'; there are subset, keep, order_by",
        ),
        ("unique: {subset: 5}", "line 4, column 14: step 1 (unique): write a name or a list of names, not 5"),
        (
            "unique: {subset: a, keep: lost}",
            "line 4, column 25: step 1 (unique): keep: write one of any, first, last, none, not 'lost'",
        ),
        ("cast: {a: 5}", "line 4, column 5: step 1 (cast): write names and types"),
        ("cast: {columns: {a: string}, strict: no}", "strict: write true or false, not 'no'"),
        ("expect: {action: drop}", "line 4, column 5: step 1 (expect): rule is missing; write expect: {rule: price > 0"),
        ("expect: {rule: 'a >', action: drop}", "line 4, column 14: step 1 (expect): rule: `a >` cannot be read"),
        ("expect: [a]", "write an expression as text"),
        ("expect: {rule: a > 0, action: flag}", "line 4, column 5: step 1 (expect): flag adds a column, which needs a name"),
        ("unique: {subset: a, order_by: s}", "line 4, column 5: step 1 (unique): order_by tells which row is first"),
        ("unique:", "write a name or a list of names, not None"),
        ("explode: [l]", "write a name, not ['l']"),
        ("group_by: [a]", "agg is missing"),
        ("group_by: {keys: [a], agg: {n: 'a.lenn()'}}", "there is no method .lenn"),
        ("group_by: {keys: [a], agg: {x: a.sum() > 1}}", "line 4, column 33: step 1 (group_by): `a.sum() > 1` is no aggregate"),
        ("group_by: {keys: [a], agg: {n: s.sum()}}", "line 4, column 33: step 1 (group_by): there is no sum of string"),
        ("with_columns: {x: a + 1, y: b + 1}", "line 4, column 30: step 1 (with_columns): there is no column 'b'"),
        ("wash: a", "line 4, column 5: step 1: there is no step 'wash'; there are with_columns"),
        ("filter: s > 1", "line 4, column 5: step 1 (filter): `s > 1`"),
    ],
)
def test_mistakes_have_line_and_column(tmp_path: Path, step: str, words: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\nschema: {a: int64, s: string, l: list<string>}\nsteps:\n  - " + step)
    with pytest.raises(UsageError) as caught:
        Pipeline.from_spec(path).plan()
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 1\nname: a/b\nschema: {a: int64}", "line 2, column 1: a pipeline's name"),
        ("version: 1\ninput: {format: xml}\nschema: {a: int64}", "line 2, column 1: input: format"),
        ("version: 1\nschema:\n  a: int64\n  b: integer", "line 4, column 3: column 'b': unknown type"),
        ("version: 1\nschema:\n  a: int64\n  b: {typ: int64}", "line 4, column 7: schema: column 'b' has no key 'typ'"),
        (HEAD + "output: {partition_by: [x]}", "line 3, column 1: output: partition_by: there is no column 'x'"),
        (HEAD + "stps: []", "line 3, column 1: a pipeline has no key 'stps'"),
        (HEAD + "steps:\n  - drop: a\n  - drop: s", "line 5, column 5: step 2 (drop): no column is left"),
        ("version: 2", "line 1, column 1: version is 2"),
    ],
)
def test_other_mistakes_have_line_and_column(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        Pipeline.from_spec(path).plan()
    assert words in str(caught.value)


def test_mistakes_of_a_plan_in_json_have_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"version": 1, "schema": {"a": "int64"},\n "steps": [{"filter": "a > 1"},\n  {"filter": "b > 1"}]}')
    with pytest.raises(PlanError, match=r"p\.json: line 3, column 4: step 2 \(filter\): there is no column 'b'"):
        Pipeline.from_spec(path).drop("a").plan()


keys = st.sampled_from(["a", "b c", "é", "1"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(documents, st.data())
def test_a_place_is_where_the_value_stands(document: Any, data: st.DataObject) -> None:
    text, at, here = json.dumps(document, indent=1), [], document
    while isinstance(here, list | dict) and here and data.draw(st.booleans()):
        at.append(data.draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here)))))
        here = here[at[-1]]
    words = place_of(text, at).replace(":", "").replace(",", "").split()
    line, column = int(words[1]), int(words[3])
    rest = "\n".join(text.split("\n")[line - 1 :])[column - 1 :]
    assert rest.startswith(json.dumps(at[-1]) + ":" if at and isinstance(at[-1], str) else json.dumps(here, indent=1)[:1])


def test_what_is_nested_too_deeply_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"version": 1,\n "schema": ' + "[" * 25 + '"}]"' + "]" * 25 + "}")
    with pytest.raises(SpecError, match="line 2, column 31: nested more than 20 levels deep"):
        Pipeline.from_spec(path)
