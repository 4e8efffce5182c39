"""`millstream glue`: the three forms of a table, and a template that one is written into."""

import json
import os
import signal
import stat

import pytest
import yaml
from cfnlint.api import lint

from millstream import cli
from millstream.glue.render import render
from millstream.glue.table import Table
from millstream.pipeline import Pipeline
from millstream.sinks.clients import client

pytestmark = pytest.mark.once

PLACE = "s3://lake/orders/"
ORDERS = Pipeline(
    {"order_id": "string", "price": "decimal128(12, 2)", "at": "timestamp[us, UTC]", "country": "string", "month": "int8"},
    name="shop-orders",
    output={"partition_by": ["country", "month"]},
)
PROJECTIONS = ["month=1..12", "country=DE,New York"]


def test_glue_takes_the_table(aws):
    glue = client("glue")
    glue.create_database(DatabaseInput={"Name": "lake"})
    given = json.loads(render(Table.of(ORDERS, PROJECTIONS), "json", location=PLACE))
    glue.create_table(DatabaseName="lake", TableInput=given)
    found = glue.get_table(DatabaseName="lake", Name="shop_orders")["Table"]
    assert {name: found[name] for name in given} == given
    assert found["Parameters"]["storage.location.template"] == "s3://lake/orders/country=${country}/month=${month}/"


def test_the_statement():
    assert render(Table.of(ORDERS, PROJECTIONS), "ddl", location="s3://lake/orders", database="lake", name="orders") == (
        """\
CREATE EXTERNAL TABLE `lake`.`orders` (
  `order_id` string,
  `price` decimal(12,2),
  `at` timestamp COMMENT 'UTC, rounded to milliseconds'
)
PARTITIONED BY (
  `country` string COMMENT 'percent-encoded, as in names of folders',
  `month` int
)
STORED AS PARQUET
LOCATION 's3://lake/orders/'
TBLPROPERTIES (
  'classification' = 'parquet',
  'projection.enabled' = 'true',
  'projection.country.type' = 'enum',
  'projection.country.values' = 'DE,New%20York',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'storage.location.template' = 's3://lake/orders/country=${country}/month=${month}/'
)"""
    )
    plain = render(Table.of(Pipeline({"x": "int64"}, name="orders")), "ddl", location=PLACE)
    assert plain.startswith("CREATE EXTERNAL TABLE `orders` (\n  `x` bigint\n)\nSTORED AS PARQUET\n")
    assert "projection" not in plain


TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09" # kept
Parameters:
  OutputPrefix: { Type: String, Default: orders/ }
Resources:
  CuratedBucket: { Type: AWS::S3::Bucket }
  LakeDatabase:
    Type: AWS::Glue::Database
    Properties: { CatalogId: !Ref AWS::AccountId, DatabaseInput: { Name: lake } }
  # begin: millstream glue
  Old: thing
  # end: millstream glue

Outputs: {}
"""
SPEC = """\
version: 1
name: orders
schema: {order_id: string, month: int8}
output: {partition_by: [month]}
"""
WORDS = [
    "--database",
    "!Ref LakeDatabase",
    "--location",
    "!Sub s3://${CuratedBucket}/${OutputPrefix}",
    "--projection",
    "month=1..12",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(SPEC)
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    return tmp_path


def run(capsys, *words):
    """The command in this process: status, output, errors."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        status = cli.main(["glue", "p.yaml", *map(str, words)])
    except SystemExit as ended:
        status = ended.code
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr()
    return status, said.out, said.err


class Loader(yaml.SafeLoader):
    """Reads a template's references as {tag: text}."""


Loader.add_multi_constructor("!", lambda loader, tag, node: {tag: loader.construct_scalar(node)})


def test_a_resource_of_a_template(folder, capsys):
    status, out, err = run(capsys, *WORDS)
    assert (status, err) == (0, "")
    ((name, resource),) = yaml.load(out, Loader).items()
    assert (name, resource["Type"]) == ("OrdersTable", "AWS::Glue::Table")
    properties = resource["Properties"]
    assert (properties["CatalogId"], properties["DatabaseName"]) == ({"Ref": "AWS::AccountId"}, {"Ref": "LakeDatabase"})
    table = properties["TableInput"]
    assert table["StorageDescriptor"]["Location"] == {"Sub": "s3://${CuratedBucket}/${OutputPrefix}"}
    assert table["Parameters"]["storage.location.template"] == {"Sub": "s3://${CuratedBucket}/${OutputPrefix}month=${!month}/"}
    plain = json.loads(run(capsys, "--format", "json", "--location", PLACE, "--projection", "month=1..12")[1])
    for one in (table, plain):
        del one["StorageDescriptor"]["Location"], one["Parameters"]["storage.location.template"]
    assert table == plain


def test_into_a_template_and_again(folder, capsys):
    file = folder / "t.yaml"
    file.chmod(0o640)
    assert run(capsys, *WORDS, "--into", "t.yaml", "--check") == (
        1,
        "",
        "millstream: error: t.yaml is not up to date: run the same command without --check\n",
    )
    assert file.read_text() == TEMPLATE
    assert run(capsys, *WORDS, "--into", "t.yaml") == (0, "", "")
    text = file.read_text()
    before, after = TEMPLATE.split("  Old: thing\n")
    assert text.startswith(before + "  OrdersTable:\n    Type: AWS::Glue::Table\n")
    assert text.endswith(after)
    assert "Old" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert {one.name for one in folder.iterdir()} == {"p.yaml", "t.yaml"}
    assert [str(one) for one in lint(text)] == []
    changed = file.stat().st_mtime_ns
    assert run(capsys, *WORDS, "--into", "t.yaml", "--check") == (0, "", "")
    assert run(capsys, *WORDS, "--into", "t.yaml") == (0, "", "")
    assert (file.read_text(), file.stat().st_mtime_ns) == (text, changed)
    (folder / "p.yaml").write_text(SPEC.replace("order_id: string", "order_id: int64"))
    assert run(capsys, *WORDS, "--into", "t.yaml", "--check")[0] == 1


def test_a_template_keeps_its_line_ends_and_its_link(folder, capsys):
    (folder / "real.yaml").write_bytes(TEMPLATE.replace("\n", "\r\n").encode())
    (folder / "t.yaml").unlink()
    (folder / "t.yaml").symlink_to("real.yaml")
    assert run(capsys, *WORDS, "--into", "t.yaml") == (0, "", "")
    body = (folder / "real.yaml").read_bytes()
    assert body.count(b"\n") == body.count(b"\r\n") > TEMPLATE.count("\n")
    assert (folder / "t.yaml").is_symlink()
    assert run(capsys, *WORDS, "--into", "t.yaml", "--check") == (0, "", "")


BEGIN, END = "# begin: millstream glue", "# end: millstream glue"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Resources: {}\n", f"the template t.yaml has no line {BEGIN!r}; write it once"),
        (f"  {BEGIN}\n", f"the template t.yaml has no line {END!r}; write it once"),
        (f"  {BEGIN}\n  {BEGIN}\n  {END}\n", f"the template t.yaml has 2 lines {BEGIN!r}; write it once"),
        (f"  {BEGIN}\n  {END}\n  {END}\n", f"the template t.yaml has 2 lines {END!r}; write it once"),
        (f"  {END}\n  {BEGIN}\n", f"the template t.yaml has {END!r} in line 1 before {BEGIN!r}; put them in order"),
        (f"  {BEGIN} and more\n  {END}\n", f"the template t.yaml has no line {BEGIN!r}; write it once"),
        (b"\xff", "the template t.yaml is not UTF-8"),
    ],
)
def test_templates_without_their_marks(folder, capsys, text, message):
    body = text if isinstance(text, bytes) else text.encode()
    (folder / "t.yaml").write_bytes(body)
    status, out, err = run(capsys, *WORDS, "--into", "t.yaml")
    assert (status, out) == (2, "")
    assert err.startswith(f"millstream: error: {message}")
    assert (folder / "t.yaml").read_bytes() == body


def test_a_write_that_fails_leaves_the_template(folder, capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    status, _, err = run(capsys, *WORDS, "--into", "t.yaml")
    assert (status, err) == (1, "millstream: error: cannot write the template t.yaml: Permission denied\n")
    assert (folder / "t.yaml").read_text() == TEMPLATE
    assert {one.name for one in folder.iterdir()} == {"p.yaml", "t.yaml"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--database", "lake"], "the following arguments are required: --location"),
        (["--location", PLACE], "a template needs the database: write --database NAME, or --database '!Ref Database'"),
        (["--location", "lake/orders", "--database", "a"], "--location is 'lake/orders/'; write s3://bucket/prefix/"),
        (["--location", "s3://lake/a b/", "--database", "a"], "--location is 's3://lake/a b/'; write s3://bucket/prefix/"),
        (["--location", "s3://lake//a/", "--database", "a"], "--location is 's3://lake//a/'; write s3://bucket/prefix/"),
        (["--location", "!Ref Place", "--database", "a"], "--location is a !Ref; write '!Sub s3://${Bucket}/prefix/'"),
        (["--location", "!Sub s3://${B}/a", "--database", "a"], "--location is '!Sub s3://${B}/a'; write"),
        (["--location", "!Sub", "--database", "a"], "--location is '!Sub'; write !Ref, !Sub, !GetAtt or !ImportValue"),
        (["--location", "!Join x", "--database", "a"], "--location is '!Join x'; write !Ref, !Sub, !GetAtt or !ImportValue"),
        (["--location", PLACE, "--database", "My Lake"], "--database is 'My Lake'; Athena takes up to 255 small letters"),
        (["--location", PLACE, "--database", "a", "--table", "A"], "--table is 'A'; Athena takes up to 255 small letters"),
        (["--location", PLACE, "--database", "a", "--resource", "a_b"], "--resource is 'a_b'; write letters and digits"),
        (["--location", PLACE, "--format", "ddl", "--resource", "A"], "--resource names a resource of a template"),
        (["--location", PLACE, "--format", "ddl", "--database", "!Ref A"], "--database is '!Ref A': references are for"),
        (["--location", PLACE, "--format", "json", "--database", "a"], "--database is no part of a TableInput"),
        (["--location", PLACE, "--format", "json", "--into", "t.yaml"], "--into writes into a template, which takes --format"),
        (["--location", PLACE, "--database", "a", "--check"], "--check compares with a template: name it by --into"),
        (["--location", PLACE, "--database", "a", "--into", "no.yaml"], "cannot read the template no.yaml: No such file"),
        (
            ["--location", PLACE, "--projection", "day=1"],
            "--projection 'day=1': 'day' is no partition column; there are: month",
        ),
    ],
)
def test_usage(folder, capsys, words, message):
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
