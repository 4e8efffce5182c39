"""Columns to bytes: values as text (`text`), rows as JSON (`json`)."""
