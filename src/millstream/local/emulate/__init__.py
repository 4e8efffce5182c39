"""`millstream emulate`: a real stream or queue, a real function, and between them what Lambda's event source mapping does."""
