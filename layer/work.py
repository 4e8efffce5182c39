"""A function's work in one process: every handler, step and format of ours, and what users' own code may ask of pyarrow.

    python -I -S layer/work.py FOLDER...      # the only places beside the standard library to import from

Prints a JSON object: the modules that were loaded from these folders, by name, each with its file. trace.py runs it over
whole wheels to learn what a layer must hold, the build over each layer to see that it does. Needs nothing but the folders.
"""

import base64
import importlib
import json
import pkgutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

# Modules that pyarrow tries to import and does without. A layer has none of them: the reason in a word.
REFUSED = {
    "numpy": "too large",
    "pandas": "too large",
    "pyarrow._flight": "no RPC in a function",
    "pyarrow._s3fs": "boto3 reads S3",
    "pyarrow._gcsfs": "Google's",
    "pyarrow._azurefs": "Microsoft's",
    "pyarrow._hdfs": "Hadoop's",
    "pyarrow._orc": "read by nobody here",
    "pyarrow._dataset_orc": "as ORC",
    "pyarrow._substrait": "no plans of others",
    "pyarrow._parquet_encryption": "S3 encrypts",
    "pyarrow._dataset_parquet_encryption": "as encryption",
    "pyarrow._cuda": "no GPU",
}

# Third-party folders that are kept whole as far as they can be imported: their parts are loaded late, on an error say.
WHOLE = (
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.tracing",
    "aws_lambda_powertools.shared",
    "aws_lambda_powertools.exceptions",
    "aws_lambda_powertools.warnings",
    "aws_lambda_powertools.utilities.idempotency",
    "aws_lambda_powertools.utilities.data_classes",
    "aws_lambda_powertools.utilities.typing",
    "jmespath",
    "orjson",
    "pyarrow.interchange",
    "pyarrow.vendored",
    "yaml",
)
# What parts of Powertools ask for beside the layer: such a part is left out.
OPTIONAL = {"aws_xray_sdk", "datadog_lambda", "glide", "redis", "valkey", "pydantic"}


class Refuse:
    """Let no import of what is left out succeed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class Runtime:
    """Modules of Lambda's runtime, in name only: where boto3 is missing, what imports it goes on."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in ("boto3", "botocore"):
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> types.ModuleType:
        def attribute(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (Exception,), {})

        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = attribute  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def import_all(package: str) -> None:
    """Import a package and every module in it, but for those that ask for something optional."""
    whole = importlib.import_module(package)
    for found in pkgutil.iter_modules(getattr(whole, "__path__", ())):
        name = f"{package}.{found.name}"
        if name in ("millstream.kernels", "millstream.cli", "millstream.__main__", *REFUSED):
            continue
        try:
            import_all(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in OPTIONAL:
                raise


ORDERS = b'{"item": "desk", "price": 80, "email": " \xc3\x84da@Example.com ", "tags": ["a"], "at": "2024-05-01T10:00:00Z", "country": "DE"}'
PIPELINE = """
version: 1
name: orders
schema: {item: string, price: float64, email: string, tags: list<string>, at: "timestamp[us, UTC]", country: string}
steps:
  - drop_nulls: [price]
  - filter: price > 10
  - with_columns: {email: email.str.strip_chars().str.to_lowercase(), cents: (price * 100).cast("int64")}
  - join: {lookup: countries.csv, key: code, on: country, how: left}
  - join: {lookup: regions.parquet, key: code, on: country, how: left}
output: {format: parquet, compression: COMPRESSION}
"""


def handle(folder: Path) -> None:
    """Run the handlers that need nothing of AWS, from events to files, and see what is in them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from millstream import Pipeline
    from millstream.aws import kinesis_handler, s3_handler, sqs_handler

    (folder / "countries.csv").write_text("code,name\nDE,Germany\n")
    pq.write_table(pa.table({"code": ["DE"], "region": ["EU"]}), folder / "regions.parquet")
    record = {
        "eventSource": "aws:kinesis",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        "eventID": "shardId-000000000000:1",
    }
    for number, compression in enumerate(("zstd", "snappy", "gzip", "lz4", "none")):
        (folder / "pipeline.yaml").write_text(PIPELINE.replace("COMPRESSION", compression))
        sink, rejects = folder / compression, folder / f"{compression}-rejects"
        sink.mkdir()
        payloads = [
            ORDERS,
            pa.compress(ORDERS, codec="gzip", asbytes=True),
            pa.compress(ORDERS, codec="zstd", asbytes=True),
            b"{no",
        ]
        told = [{"data": base64.b64encode(one).decode(), "sequenceNumber": f"{number}{i}"} for i, one in enumerate(payloads)]
        event = {"Records": [record | {"kinesis": one | {"approximateArrivalTimestamp": 1.5}} for one in told]}
        pipeline = Pipeline.from_spec(folder / "pipeline.yaml")
        handler = kinesis_handler(pipeline, sink=str(sink), rejects=str(rejects))
        assert handler(event, None) == {"batchItemFailures": []}
        (file,) = sink.rglob("*.parquet")
        rows = pq.read_table(file).to_pylist()
        assert [(row["email"], row["cents"], row["name"], row["region"]) for row in rows] == [
            ("äda@example.com", 8000, "Germany", "EU")
        ] * 3, rows
        (rejected,) = rejects.rglob("*.parquet")
        assert pq.read_table(rejected, columns=["code"]).column(0).to_pylist() == ["BAD_JSON"]
    sqs_handler(pipeline, sink=str(folder / "q"), rejects=str(folder / "q-rejects"))
    s3_handler(pipeline, sink=str(folder / "o"), rejects=str(folder / "o-rejects"))


def ask_of_pyarrow(folder: Path) -> None:
    """What users' own code may do: files of four formats, data sets, kernels of Arrow's, joins and groups."""
    import pyarrow as pa
    import pyarrow.acero
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.dataset
    import pyarrow.feather
    import pyarrow.fs
    import pyarrow.interchange
    import pyarrow.json
    import pyarrow.parquet as pq

    table = pa.table({"k": ["a", "b", "a"], "v": pa.array([1, 2, 3], pa.int64())})
    grouped = table.group_by("k").aggregate([("v", "sum")]).sort_by("k")
    assert grouped.column("v_sum").to_pylist() == [4, 2]
    assert table.join(grouped, "k").num_rows == 3
    assert table.filter(pc.field("v") > 1).num_rows == 2
    assert pc.utf8_upper(table.column("k")).to_pylist() == ["A", "B", "A"]
    assert table.column("v").cast(pa.float32()).type == pa.float32()
    for codec in ("zstd", "snappy", "gzip", "lz4", "brotli", "none"):
        pq.write_table(table, folder / f"t.{codec}", compression=codec)
        assert pq.read_table(folder / f"t.{codec}").equals(table)
    pyarrow.csv.write_csv(table, folder / "t.csv")
    assert pyarrow.csv.read_csv(folder / "t.csv").equals(table)
    (folder / "t.json").write_text('{"k": "a", "v": 1}\n')
    assert pyarrow.json.read_json(folder / "t.json").num_rows == 1
    pyarrow.feather.write_feather(table, str(folder / "t.feather"), compression="zstd")
    assert pyarrow.feather.read_table(str(folder / "t.feather")).equals(table)
    pq.write_to_dataset(table, str(folder / "set"), partition_cols=["k"])
    assert pyarrow.dataset.dataset(str(folder / "set"), partitioning="hive").to_table().num_rows == 3
    assert pq.read_table(str(folder / "set"), filters=[("v", ">", 1)]).num_rows == 2
    local = pyarrow.fs.LocalFileSystem()
    with local.open_input_stream(str(folder / "t.csv"), compression=None) as stream:
        assert stream.read(3) == b'"k"'
    assert pa.array([1]).dictionary_encode().cast("int64").to_pylist() == [1]
    assert pyarrow.interchange.from_dataframe(table).equals(table)
    with pa.ipc.new_stream(pa.BufferOutputStream(), table.schema) as writer:
        writer.write_table(table)


def main() -> None:
    places = [str(Path(one).resolve()) for one in sys.argv[1:]]
    sys.path[:0] = places
    sys.meta_path.insert(0, Refuse())
    sys.meta_path.append(Runtime())
    with tempfile.TemporaryDirectory() as folder:
        out, sys.stdout = sys.stdout, open(Path(folder) / "log", "w", encoding="utf-8")  # noqa: SIM115 (closed below)
        handle(Path(folder))
        import_all("millstream")
        ask_of_pyarrow(Path(folder))
        for package in WHOLE:
            import_all(package)
        sys.stdout.close()
        sys.stdout = out
    loaded = {}
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None)
        for place in places:
            if file and Path(file).is_relative_to(place):
                loaded[name] = str(Path(file).relative_to(place))
    json.dump(loaded, sys.stdout, indent=0, sort_keys=True)


if __name__ == "__main__":
    main()
