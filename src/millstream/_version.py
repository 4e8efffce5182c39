"""The version of this package: read here by the build, and by whatever reports it."""

__version__ = "0.1.0"
