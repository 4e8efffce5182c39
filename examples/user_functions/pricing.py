"""Functions that pipeline.yaml calls: one that is compiled, one over whole batches."""

import math

from millstream import udf

RATE = 0.25


def net(price, discount):
    return price * (1.0 - discount)


@udf("float64(float64, int64, float64?)")
def tax(price, qty, discount):
    """The tax on a line; without a discount on all of it."""
    if price < 0:
        raise ValueError("a price below zero")
    if discount is None:
        return round(price * qty * RATE, 2)
    return round(net(price, discount) * qty * RATE, 2)


@udf("float64(float64, float64)")
def distance(north, east):
    """How far away a place is."""
    return math.hypot(north, east)


@udf("string(string)", batch=True)
def slug(names):
    """Text as it stands in addresses of pages."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(pc.utf8_lower(pc.utf8_trim_whitespace(names)), "[^a-z0-9]+", "-")
