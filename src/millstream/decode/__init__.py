"""Bytes to columns: payload spans (`payloads`), formats (`json`), and what could not be decoded (`rejects`)."""
