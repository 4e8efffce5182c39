"""Where output goes: formats, partitions, rejects, and the stores that hold them."""
