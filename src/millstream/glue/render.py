"""A table as text: a resource of a CloudFormation template, the TableInput of Glue's API, a statement for Athena."""

from __future__ import annotations

import json
import re
from typing import Any

from millstream.classes import dataclass
from millstream.errors import UsageError
from millstream.glue.columns import GlueColumn
from millstream.glue.table import Table

_REFERENCE = re.compile(r"!(Ref|Sub|GetAtt|ImportValue)\s+(\S.*)")
_NAME = re.compile(r"[a-z0-9_]{1,255}", re.ASCII)
_RESOURCE = re.compile(r"[A-Za-z0-9]{1,255}", re.ASCII)
_LOCATION = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(?:[^/'\s*]+/)*")
_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
_INPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
_OUTPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
_TEMPLATE = "storage.location.template"


@dataclass(frozen=True)
class Reference:
    """A value that CloudFormation fills in: `!Ref Database`, `!Sub s3://${Bucket}/orders/`."""

    tag: str
    text: str


Value = str | Reference


def render(
    table: Table, form: str, *, location: str, database: str | None = None, name: str | None = None, resource: str | None = None
) -> str:
    """The table as text, without a line break at its end. Raises UsageError for a name or place that cannot be.

    form: cloudformation, json or ddl. References are for cloudformation alone, and so is `resource`.
    """
    is_template = form == "cloudformation"
    if resource is not None and not is_template:
        raise UsageError("--resource names a resource of a template: it goes with --format cloudformation")
    place = _location(_value(location, "--location", is_template))
    called = _value(name or table.pipeline.replace("-", "_").lower(), "--table", is_template)
    holder = None if database is None else _value(database, "--database", is_template)
    _check_name(called, "--table")
    _check_name(holder, "--database")
    if form == "ddl":
        return _ddl(table, place, called, holder)
    told = _table_input(table, place, called)
    if form == "json":
        if holder is not None:
            raise UsageError(
                "--database is no part of a TableInput: name it beside it, as in aws glue create-table --database-name"
            )
        return json.dumps(told, indent=2)
    if holder is None:
        raise UsageError("a template needs the database: write --database NAME, or --database '!Ref Database'")
    if resource is None:
        resource = "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", table.pipeline)) + "Table"
    if not _RESOURCE.fullmatch(resource):
        raise UsageError(f"--resource is {resource!r}; write letters and digits")
    properties = {"CatalogId": Reference("Ref", "AWS::AccountId"), "DatabaseName": holder, "TableInput": told}
    return _yaml({resource: {"Type": "AWS::Glue::Table", "Properties": properties}})


def _value(text: str, option: str, is_template: bool) -> Value:
    if not text.startswith("!"):
        return text
    if not is_template:
        raise UsageError(f"{option} is {text!r}: references are for --format cloudformation; write the name itself")
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise UsageError(f"{option} is {text!r}; write !Ref, !Sub, !GetAtt or !ImportValue and what it takes, in one line")
    return Reference(found[1], _unquoted(found[2].strip()))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _check_name(value: Value | None, option: str) -> None:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise UsageError(f"{option} is {value!r}; Athena takes up to 255 small letters, digits and _")


def _location(value: Value) -> Value:
    """Where the files are, with a slash at its end."""
    if isinstance(value, str):
        value = value if value.endswith("/") else f"{value}/"
        if not _LOCATION.fullmatch(value):
            raise UsageError(f"--location is {value!r}; write s3://bucket/prefix/")
        return value
    if value.tag != "Sub":
        raise UsageError(
            f"--location is a !{value.tag}; write '!Sub s3://${{Bucket}}/prefix/', which folders can be put behind"
        )
    if not value.text.startswith(("s3://", "${")) or not value.text.endswith(("/", "}")):
        raise UsageError(f"--location is '!Sub {value.text}'; write '!Sub s3://${{Bucket}}/prefix/', with a slash at its end")
    return value


def _parameters(table: Table, place: Value) -> dict[str, Value]:
    """The table's parameters. In a !Sub, `${!month}` is what leaves `${month}` to Athena."""
    found: dict[str, Value] = dict(table.parameters)
    if table.partitions and isinstance(place, Reference):
        found[_TEMPLATE] = Reference("Sub", place.text + table.folders.replace("${", "${!"))
    elif table.partitions:
        found[_TEMPLATE] = f"{place}{table.folders}"
    return found


def _table_input(table: Table, place: Value, name: Value) -> dict[str, Any]:
    return {
        "Name": name,
        "Description": f"what the Millstream pipeline {table.pipeline} writes",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": _parameters(table, place),
        "PartitionKeys": [one.column.to_dict() for one in table.partitions],
        "StorageDescriptor": {
            "Columns": [one.to_dict() for one in table.columns],
            "Location": place,
            "InputFormat": _INPUT,
            "OutputFormat": _OUTPUT,
            "SerdeInfo": {"SerializationLibrary": _SERDE, "Parameters": {"serialization.format": "1"}},
        },
    }


def _ddl(table: Table, place: Value, name: Value, database: Value | None) -> str:
    full = f"`{name}`" if database is None else f"`{database}`.`{name}`"
    lines = [f"CREATE EXTERNAL TABLE {full} (", _declared(table.columns), ")"]
    if table.partitions:
        lines += ["PARTITIONED BY (", _declared([one.column for one in table.partitions]), ")"]
    lines += ["STORED AS PARQUET", f"LOCATION '{place}'", "TBLPROPERTIES ("]
    lines.append(",\n".join(f"  '{key}' = '{value}'" for key, value in _parameters(table, place).items()))
    return "\n".join([*lines, ")"])


def _declared(columns: tuple[GlueColumn, ...] | list[GlueColumn]) -> str:
    told = (f"  `{one.name}` {one.type}" + (f" COMMENT '{one.comment}'" if one.comment else "") for one in columns)
    return ",\n".join(told)


def _yaml(value: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes references by their tags, and no anchors."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)  # lists stand below their key, as in most templates

    Dumper.add_representer(Reference, lambda dumper, one: dumper.represent_scalar(f"!{one.tag}", one.text))
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, width=1 << 20, allow_unicode=True)).rstrip("\n")
