# Made from the catalogue of functions by: python -m tests.test_reference
# ruff: noqa: A002, E501
# fmt: off

from typing import Any

from millstream.expr import Expr

SPACES: tuple[str, ...]

class Namespace:
    def __init__(self, of: Expr) -> None: ...

class Methods:
    def abs(self) -> Expr:
        """The number without its sign. The least int64 rejects the record (OUT_OF_RANGE)."""
    def sign(self) -> Expr:
        """1, 0 or -1, as the number is above, at or below 0; NaN of NaN."""
    def round(self, decimals: int = 0, mode: str = "half_to_even") -> Expr:
        """The number to so many decimals; a half goes to the even digit, or away from zero with mode='half_away_from_zero'."""
    def floor(self) -> Expr:
        """The greatest whole number that is not above."""
    def ceil(self) -> Expr:
        """The least whole number that is not below."""
    def bucket(self, width: float) -> Expr:
        """The start of the bucket of this width that the number lies in; one starts at 0."""
    def sqrt(self) -> Expr:
        """The square root; NaN of a number below 0."""
    def exp(self) -> Expr:
        """e to the power of the number."""
    def log(self, base: float = 2.718281828459045) -> Expr:
        """The logarithm to a base, e where none is named; -inf of 0, NaN of a number below 0."""
    def pow(self, exponent: Any) -> Expr:
        """The number to a power. Of integers an integer; beyond int64, or of a column's power below 0, OUT_OF_RANGE."""
    def is_nan(self) -> Expr:
        """Is the number NaN?"""
    def is_not_nan(self) -> Expr:
        """Is the number not NaN?"""
    def is_finite(self) -> Expr:
        """Is the number neither infinite nor NaN?"""
    def is_infinite(self) -> Expr:
        """Is the number infinite?"""
    def is_between(self, lower_bound: Any, upper_bound: Any, closed: str = "both") -> Expr:
        """Is the value between these two? They are among them, or closed is 'left', 'right' or 'none'."""
    def is_null(self) -> Expr:
        """Is there no value?"""
    def is_not_null(self) -> Expr:
        """Is there a value?"""
    def fill_null(self, value: Any) -> Expr:
        """The value, or another where there is none."""
    def null_if(self, value: Any) -> Expr:
        """Null where the value is this one, else the value."""
    def fill_nan(self, value: Any) -> Expr:
        """The number, or another where it is NaN; null stays null."""
    def clip(self, lower_bound: Any = None, upper_bound: Any = None) -> Expr:
        """The value, or the bound that it is beyond; None is no bound, and NaN stays."""

class Text(Namespace):
    def strip_chars(self, characters: str | None = None) -> Expr:
        """The text without leading and trailing white space, or without the given characters."""
    def strip_chars_start(self, characters: str | None = None) -> Expr:
        """The text without leading white space, or without the given characters at its start."""
    def strip_chars_end(self, characters: str | None = None) -> Expr:
        """The text without trailing white space, or without the given characters at its end."""
    def strip_prefix(self, prefix: str) -> Expr:
        """The text without this at its start, where it stands there."""
    def strip_suffix(self, suffix: str) -> Expr:
        """The text without this at its end, where it stands there."""
    def to_lowercase(self) -> Expr:
        """The text in small letters."""
    def to_uppercase(self) -> Expr:
        """The text in capitals."""
    def starts_with(self, prefix: str) -> Expr:
        """Does the text begin with this?"""
    def ends_with(self, suffix: str) -> Expr:
        """Does the text end with this?"""
    def slice(self, offset: int, length: int | None = None) -> Expr:
        """So many characters from an offset on; a negative offset counts from the end. Without a length, all the rest."""
    def head(self, n: int) -> Expr:
        """The first n characters; of a negative n all but the last."""
    def tail(self, n: int) -> Expr:
        """The last n characters; of a negative n all but the first."""
    def len_chars(self) -> Expr:
        """How many characters (code points) the text has."""
    def len_bytes(self) -> Expr:
        """How many bytes the text has in UTF-8."""
    def pad_start(self, length: int, fill_char: str = " ") -> Expr:
        """The text, filled at its start to so many characters."""
    def pad_end(self, length: int, fill_char: str = " ") -> Expr:
        """The text, filled at its end to so many characters."""
    def zfill(self, length: int) -> Expr:
        """The text, filled with zeros to so many characters, behind its sign."""
    def mask(self, keep_last: int, char: str = "*") -> Expr:
        """The text with every character but the last few replaced."""
    def split(self, by: str) -> Expr:
        """The pieces of the text between separators, as a list."""
    def split_part(self, by: str, index: int) -> Expr:
        """The piece with this index between separators, -1 the last; null where there are fewer pieces."""
    def reverse(self) -> Expr:
        """The characters (code points) of the text from last to first."""
    def contains(self, pattern: str, *, literal: bool = False) -> Expr:
        """Does the regular expression match somewhere in the text? With literal=True: is this text in it?"""
    def count_matches(self, pattern: str, *, literal: bool = False) -> Expr:
        """How often the regular expression, or with literal=True the text, is found; what is found does not overlap."""
    def find(self, pattern: str, *, literal: bool = False) -> Expr:
        """The byte where the regular expression, or with literal=True the text, is found first; else null."""
    def replace(self, pattern: str, value: str, *, literal: bool = False, n: int = 1) -> Expr:
        """The text with the first n matches replaced; $1 in the replacement is the first group. literal=True: no expression, no groups."""
    def replace_all(self, pattern: str, value: str, *, literal: bool = False) -> Expr:
        """The text with every match replaced, as in replace."""
    def extract(self, pattern: str, group_index: int = 1) -> Expr:
        """What a group of the regular expression matched first, group 0 the whole; null where it does not match."""
    def sha256(self) -> Expr:
        """The SHA-256 of the bytes, in 64 hexadecimal digits."""
    def encode(self, encoding: str) -> Expr:
        """The bytes in 'base64', padded, or in 'hex', small letters."""
    def decode(self, encoding: str, *, strict: bool = True) -> Expr:
        """What base64 (of either alphabet, padded or not) or hex digits stand for. Others reject (BAD_VALUE); strict=False: null."""
    def json_path_match(self, json_path: str) -> Expr:
        """What is at a path of keys in JSON text, a string without its quotes; null where there is nothing. No JSON: BAD_JSON."""
    def to_date(self, format: str = "%Y-%m-%d", *, strict: bool = True) -> Expr:
        """The date that the text is by a layout, '%d.%m.%Y'. Other text rejects the record (BAD_TIME), or is null with strict=False."""
    def to_datetime(self, format: str, *, time_unit: str = "us", strict: bool = True) -> Expr:
        """The time that the text is by a layout, in UTC where that has %z. Other text rejects the record (BAD_TIME), or is null with strict=False."""

class Time(Namespace):
    def year(self) -> Expr:
        """The year. One beyond 32 bits rejects the record (OUT_OF_RANGE)."""
    def iso_year(self) -> Expr:
        """The year that the ISO week belongs to."""
    def quarter(self) -> Expr:
        """The quarter, 1 to 4."""
    def month(self) -> Expr:
        """The month, 1 to 12."""
    def week(self) -> Expr:
        """The ISO week, 1 to 53; it begins on Monday."""
    def weekday(self) -> Expr:
        """The day of the week, 1 for Monday to 7 for Sunday."""
    def day(self) -> Expr:
        """The day of the month, 1 to 31."""
    def ordinal_day(self) -> Expr:
        """The day of the year, 1 to 366."""
    def days_in_month(self) -> Expr:
        """How many days the month has."""
    def is_leap_year(self) -> Expr:
        """Has the year 366 days?"""
    def month_start(self) -> Expr:
        """The first day of the month, at the same time of day."""
    def month_end(self) -> Expr:
        """The last day of the month, at the same time of day."""
    def hour(self) -> Expr:
        """The hour, 0 to 23."""
    def minute(self) -> Expr:
        """The minute, 0 to 59."""
    def second(self) -> Expr:
        """The second, 0 to 59."""
    def millisecond(self) -> Expr:
        """The milliseconds of the second, 0 to 999."""
    def microsecond(self) -> Expr:
        """The microseconds of the second, 0 to 999,999."""
    def nanosecond(self) -> Expr:
        """The nanoseconds of the second, 0 to 999,999,999."""
    def date(self) -> Expr:
        """The date."""
    def time(self) -> Expr:
        """The time of day, to the microsecond."""
    def truncate(self, every: str) -> Expr:
        """The start of the window of time it lies in: '15m', '1h', '1d', '1w' (Mondays), '1mo', '1q', '1y', counted from 1970."""
    def offset_by(self, by: str) -> Expr:
        """The time so much later, or earlier with a minus: '1h', '-1mo2d'. Of months that are too short the last day."""
    def total_days(self) -> Expr:
        """How many whole days the duration has; what is less is cut off, towards zero."""
    def total_hours(self) -> Expr:
        """How many whole hours the duration has; what is less is cut off, towards zero."""
    def total_minutes(self) -> Expr:
        """How many whole minutes the duration has; what is less is cut off, towards zero."""
    def total_seconds(self) -> Expr:
        """How many whole seconds the duration has; what is less is cut off, towards zero."""
    def total_milliseconds(self) -> Expr:
        """How many whole milliseconds the duration has; what is less is cut off, towards zero."""
    def total_microseconds(self) -> Expr:
        """How many whole microseconds the duration has; what is less is cut off, towards zero."""
    def epoch(self, time_unit: str = "us") -> Expr:
        """The time since 1970 in microseconds, or in 'd', 's', 'ms' or 'ns', rounded to the past."""
    def to_string(self, format: str) -> Expr:
        """The text of the time by a layout, '%Y-%m-%d %H:%M:%S'; months and days are in English."""
    def convert_time_zone(self, time_zone: str) -> Expr:
        """The same instant as clocks of another zone show it: 'Europe/Berlin'."""
    def replace_time_zone(self, time_zone: str | None, *, ambiguous: str = "raise", non_existent: str = "raise") -> Expr:
        """The instant at which clocks of a zone show this time, or with None the time without its zone. A time that there is not rejects the record, and so does one that there is twice (BAD_TIME), unless ambiguous and non_existent say otherwise."""

class Lists(Namespace):
    def len(self) -> Expr:
        """How many items the list has."""
    def get(self, index: int, *, null_on_oob: bool = False) -> Expr:
        """The item with this index, -1 the last. A list without it rejects the record (OUT_OF_RANGE), or is null with null_on_oob=True."""
    def first(self) -> Expr:
        """The first item; null of an empty list."""
    def last(self) -> Expr:
        """The last item; null of an empty list."""
    def contains(self, item: Any) -> Expr:
        """Is this literal among the items?"""
    def join(self, separator: str, *, ignore_nulls: bool = True) -> Expr:
        """The texts of the list, a separator between them. Nulls among them are left out; with ignore_nulls=False the result is null."""

class Struct(Namespace):
    def field(self, name: str) -> Expr:
        """The field with this name; null where the struct is."""

def method_names(space: str) -> list[str]: ...
def no_method(space: str, name: str) -> str: ...
