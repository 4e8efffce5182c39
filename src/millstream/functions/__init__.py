"""The catalogue of functions: what expressions are made of, and where their documentation comes from."""

from millstream.functions import arithmetic, casts, compare, logic, text, time
from millstream.functions.function import Example, Function, Policy

CATALOGUE: dict[str, Function] = {
    one.name: one
    for one in (
        *arithmetic.FUNCTIONS,
        *compare.FUNCTIONS,
        *logic.FUNCTIONS,
        *casts.FUNCTIONS,
        *text.FUNCTIONS,
        *time.FUNCTIONS,
    )
}
"""Every function by its name."""

__all__ = ["CATALOGUE", "Example", "Function", "Policy"]
