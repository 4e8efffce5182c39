"""Numba source of every kernel, one family a file. Nothing here is imported when a pipeline runs: see `millstream.native`."""

# What is compiled into the kernels' object, in this order, each family in a process of its own.
FAMILIES = (
    "deliveries", "md5",
    "memory", "nested", "spans", "json", "csv_frame", "encode",
    "arithmetic", "compare", "logic", "text", "lookup", "lookup_ranges",
    "numbers", "int128_arithmetic", "strings", "sha256", "zones",
    "group", "aggregate", "frame", "levels", "pages",
)  # fmt: skip

# Families that are compiled with another, whose helpers they use too: a quarter of all the time that compiling takes is saved.
WITH = {
    "json": ("csv", "envelope", "floats", "calendar", "clock", "base64", "utf8", "format", "int128", "time", "layouts"),
    "pages": ("chunks",),
}
