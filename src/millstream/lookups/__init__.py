"""Lookups at work: read, hashed or sorted, looked at again, and asked for the rows of a batch's keys.

`millstream.tables` is how users write them.
"""
