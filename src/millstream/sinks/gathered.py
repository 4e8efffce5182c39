"""Several batches of one source into one object a partition: readers suffer from many small files."""

from __future__ import annotations

import hashlib
from functools import partial

import pyarrow as pa

from millstream.sinks import parquet
from millstream.sinks.digest import digest_rows
from millstream.sinks.landed import NAMES, Landed, add_counts, check_law
from millstream.sinks.landing import Object, Output, Prepared, Ready, land_objects, object_name, stored_rejects
from millstream.sinks.origin import Origin
from millstream.sinks.parquet import ParquetFile
from millstream.sinks.rejects import NONE, Rejects
from millstream.sinks.store import Store


class Gathered:
    """Batches on their way: their rows are row groups already, of Parquet files in memory."""

    def __init__(self, output: Output, fingerprint: str) -> None:
        self.output, self.fingerprint = output, fingerprint
        self.counts = dict.fromkeys(NAMES, 0)
        self._files: dict[str, tuple[ParquetFile, list[str]]] = {}
        self._rejects: list[pa.RecordBatch] = []
        self._failed_by_rule: dict[str, int] = {}

    def add(self, prepared: Prepared, origin: Origin) -> None:
        """One more batch; `origin` tells of its rejects. Raises SinkError for rows that Parquet cannot hold."""
        rows = prepared.partitioned
        for part in rows.parts:
            columns = rows.of(part)
            file, digests = self._files.setdefault(part.folder, (ParquetFile(rows.schema, self.output.compression), []))
            file.add(columns, part.rows)
            digests.append(digest_rows(rows.schema.names, columns, 0, part.rows))
        if prepared.rejects.num_rows:
            self._rejects.append(stored_rejects(prepared, origin, self.fingerprint))
        for name, count in prepared.counts.items():
            self.counts[name] += count
        add_counts(self._failed_by_rule, prepared.failed_by_rule)
        check_law(self.counts)

    def land(self, origin: Origin, sink: Store, rejects: Rejects | None, until: float) -> Landed:
        """Write them, as `landing.land` does one; `origin` names the whole."""
        objects = [
            Ready(file.rows, partial(self._object, folder, file, digests, origin))
            for folder, (file, digests) in self._files.items()
        ]
        stored = pa.concat_batches(self._rejects) if self._rejects else NONE
        landed = land_objects(self.counts, stored, objects, origin, self.fingerprint, sink, rejects, until)
        landed.add_rules(self._failed_by_rule)
        return landed

    def _object(self, folder: str, file: ParquetFile, digests: list[str], origin: Origin) -> Object:
        digest = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()[:32]
        tags = origin.tags(self.fingerprint, digest)
        name = object_name(folder, origin) + parquet.SUFFIX
        return name, file.body(tags), tags, lambda path: parquet.difference(path, tags)
