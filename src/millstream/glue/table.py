"""What a pipeline writes, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from millstream.classes import dataclass
from millstream.errors import PlanError
from millstream.glue.columns import GlueColumn, check_distinct, data_column
from millstream.glue.projection import Partition, partitions_of
from millstream.sinks.landing import Output

if TYPE_CHECKING:
    from millstream.pipeline import Pipeline


@dataclass(frozen=True)
class Table:
    """The columns of a pipeline's files, and the partition columns, which stand in folders' names alone."""

    pipeline: str
    columns: tuple[GlueColumn, ...]
    partitions: tuple[Partition, ...]

    @classmethod
    def of(cls, pipeline: Pipeline, projections: Sequence[str] = ()) -> Table:
        """The table of a pipeline's output; projections as `--projection` takes them.

        Raises PlanError where Athena cannot read the output, UsageError for a projection that does not fit it.
        """
        plan = pipeline.plan()
        output = Output.of(dict(pipeline.output or {}), plan.schema)
        if output.format != "parquet":
            raise PlanError(f"output: format {output.format!r} is no table; write parquet")
        if output.compression == "lz4":
            raise PlanError(
                "output: Parquet's compression lz4 (LZ4_RAW) is not known to Athena; write zstd, snappy, gzip or none"
            )
        types = dict(plan.output)
        check_distinct(types)
        partitions = partitions_of(types, output.partition_by, projections)
        columns = tuple(data_column(name, kind) for name, kind in types.items() if name not in output.partition_by)
        return cls(pipeline.name, columns, partitions)

    @property
    def folders(self) -> str:
        """The folders below the location, as a template: `year=${year}/month=${month}/`."""
        return "".join(f"{one.folder}/" for one in self.partitions)

    @property
    def parameters(self) -> dict[str, str]:
        """The table's parameters, but for the template of locations."""
        found = {"classification": "parquet"}
        if self.partitions:
            found["projection.enabled"] = "true"
        for one in self.partitions:
            found |= one.properties
        return found
