"""A template with a part that is generated: the lines between two marks."""

from __future__ import annotations

import re
from pathlib import Path

from millstream.classes import dataclass
from millstream.errors import RunError, UsageError

BEGIN, END = "# begin: millstream glue", "# end: millstream glue"
_MARK = re.compile(r"(?P<indent>[ \t]*)(?P<mark># (?:begin|end): millstream glue)[ \t]*")


@dataclass(frozen=True)
class Template:
    """A file's text around the generated part. indent: that of the first mark; newline: how the file ends lines."""

    path: Path
    before: str
    within: str
    after: str
    indent: str
    newline: str

    @classmethod
    def read(cls, path: Path) -> Template:
        """Raises UsageError where the file cannot be read as UTF-8, or has not each mark once and in order."""
        try:
            text = path.read_bytes().decode()
        except OSError as error:
            raise UsageError(f"cannot read the template {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"the template {path} is not UTF-8") from None
        lines = text.splitlines(keepends=True)
        found = [(number, mark) for number, line in enumerate(lines) if (mark := _MARK.fullmatch(line.rstrip("\r\n")))]
        told = [mark["mark"] for _, mark in found]
        for one in (BEGIN, END):
            if told.count(one) != 1:
                count = "no line" if one not in told else f"{told.count(one)} lines"
                raise UsageError(f"the template {path} has {count} {one!r}; write it once, where the table shall stand")
        (first, begin), (last, _) = found
        if begin["mark"] != BEGIN:
            raise UsageError(f"the template {path} has {END!r} in line {first + 1} before {BEGIN!r}; put them in order")
        parts = ("".join(lines[: first + 1]), "".join(lines[first + 1 : last]), "".join(lines[last:]))
        return cls(path, *parts, begin["indent"], "\r\n" if lines[first].endswith("\r\n") else "\n")

    def holds(self, text: str) -> bool:
        """Does this text stand between the marks?"""
        return self.within == self._indented(text)

    def write(self, text: str) -> None:
        """Put a text between the marks: the whole file at once or not at all. Raises RunError where it cannot be written."""
        from millstream.documents import replace_file

        whole = (self.before + self._indented(text) + self.after).encode()
        try:
            replace_file(self.path, whole)
        except OSError as error:
            raise RunError(f"cannot write the template {self.path}: {error.strerror}") from None

    def _indented(self, text: str) -> str:
        return "".join(f"{self.indent}{line}".rstrip() + self.newline for line in text.split("\n"))
