"""What was committed: each delivery of an ordered source ends in the sink once, whatever fails, and whoever runs beside.

The protocol, and why it is as it is: docs/decisions/0016-the-ledger.md. `tests/faults/model` enumerates its interleavings.
"""
