"""botocore's descriptions of services, read faster: a fifth of what it takes to make a client.

Without this botocore looks into the folders of all 400 services to see that one is there, and reads JSON in Python's own way.
"""

from __future__ import annotations

import gzip
import os
from typing import Any

import orjson
from botocore.loaders import JSONFileLoader, Loader


class _Files(JSONFileLoader):  # type: ignore[misc]
    """JSON by orjson, plain or compressed."""

    def load_file(self, file_path: str) -> Any:
        for ending, plain in ((".json", bytes), (".json.gz", gzip.decompress)):
            try:
                with open(file_path + ending, "rb") as file:
                    return orjson.loads(plain(file.read()))
            except (FileNotFoundError, NotADirectoryError):
                pass
        return None


class _Loader(Loader):  # type: ignore[misc]
    def list_available_services(self, type_name: str) -> list[str]:
        """All that have a folder; whether a description of this type is in it shows when it is read."""
        return sorted({name for path in self.search_paths if os.path.isdir(path) for name in os.listdir(path)})


def loader(paths: str | None) -> Loader:
    """A loader of descriptions, those of `paths` (AWS_DATA_PATH) first."""
    own = [os.path.expanduser(os.path.expandvars(one)) for one in paths.split(os.pathsep)] if paths else None
    return _Loader(extra_search_paths=own, file_loader=_Files())
