"""Numba source of every kernel, one family a file. Nothing here is imported when a pipeline runs: see `millstream.native`."""

# What is compiled into the kernels' object, in this order.
FAMILIES = (
    "deliveries", "envelope", "md5",
    "memory", "nested", "floats", "calendar", "clock", "base64", "utf8", "spans", "json", "csv_frame", "csv", "format", "int128", "encode",
    "arithmetic", "compare", "logic", "text", "time", "lookup", "lookup_ranges",
    "numbers", "int128_arithmetic", "strings", "sha256", "layouts", "zones",
    "group", "aggregate", "frame", "levels", "pages",
)  # fmt: skip
