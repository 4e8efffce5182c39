"""`millstream glue`: its arguments, and what it does with them. What needs pyarrow or PyYAML is imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from millstream.errors import RunError, UsageError

FORMATS = ("cloudformation", "json", "ddl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("pipeline", metavar="PIPELINE", help="file.yaml, or file.py:name")
    parser.add_argument(
        "--location",
        metavar="URL",
        required=True,
        help="the function's sink, s3://bucket/prefix/; in a template also '!Sub s3://${Bucket}/prefix/'",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="a resource of a template (cloudformation, the default), the TableInput of glue:CreateTable (json), "
        "or a statement of Athena's (ddl)",
    )
    parser.add_argument("--database", metavar="NAME", help="the database; in a template also a reference: '!Ref Database'")
    parser.add_argument("--table", metavar="NAME", help="the table, or a reference to its name (default: the pipeline's name)")
    parser.add_argument("--resource", metavar="ID", help="the resource's name in the template (default: <Pipeline>Table)")
    parser.add_argument(
        "--projection",
        metavar="COLUMN=VALUES",
        action="append",
        default=[],
        help="the values of a partition column: a range of integers or dates, month=1..12 or day=2024-01-01..NOW, or a list, "
        "country=DE,FR; without it queries must name a value",
    )
    parser.add_argument(
        "--into",
        metavar="TEMPLATE",
        help="write it into this template, between the lines '# begin: millstream glue' and '# end: millstream glue'",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where the template given by --into is not up to date"
    )


def glue(arguments: argparse.Namespace) -> str | None:
    """The table as text, or None where it went into a template.

    Raises UsageError for a pipeline that Athena cannot read, or options that do not fit; RunError where --check finds a difference.
    """
    from millstream.glue.render import render
    from millstream.glue.table import Table
    from millstream.local.load import load_pipeline

    if arguments.into is None and arguments.check:
        raise UsageError("--check compares with a template: name it by --into TEMPLATE")
    if arguments.into is not None and arguments.format != "cloudformation":
        raise UsageError(f"--into writes into a template, which takes --format cloudformation, not {arguments.format}")
    table = Table.of(load_pipeline(arguments.pipeline), arguments.projection)
    text = render(
        table,
        arguments.format,
        location=arguments.location,
        database=arguments.database,
        name=arguments.table,
        resource=arguments.resource,
    )
    if arguments.into is None:
        return text
    from millstream.glue.template import Template

    template = Template.read(Path(arguments.into))
    is_current = template.holds(text)
    if arguments.check and not is_current:
        raise RunError(f"{arguments.into} is not up to date: run the same command without --check")
    if not is_current:
        template.write(text)
    return None
