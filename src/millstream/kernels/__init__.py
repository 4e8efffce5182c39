"""Numba source of every kernel, one family a file. Nothing here is imported when a pipeline runs: see `millstream.native`."""

# What is compiled into the kernels' object, in this order.
FAMILIES = (
    "deliveries", "envelope", "md5",
    "memory", "nested", "floats", "calendar", "clock", "base64", "utf8", "spans", "json", "format", "int128", "encode",
    "arithmetic", "compare", "logic", "text", "time", "lookup",
    "group", "aggregate", "frame", "levels", "pages",
)  # fmt: skip
