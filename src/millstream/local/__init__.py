"""Pipelines over files on this machine."""
