"""The tables' layout is written down twice, for the kernels and for what calls them: both are the same."""

from __future__ import annotations

import pytest

from millstream.decode import json as decoder
from millstream.decode import json_layout as layout

pytestmark = pytest.mark.once


def test_layouts_are_those_of_the_kernels() -> None:
    from millstream.kernels import json, json_keys, json_nested, json_rest, json_values

    assert (layout.KEY_WORDS, layout.COLUMN_WORDS) == (json_keys.KEY, json_values.COLUMN)
    assert (layout.VALUES, layout.VALID, layout.NULLED, layout.DEFAULT_BITS) == (
        json_values.VALUES, json_values.VALID, json_values.NULLED, json_values.DEFAULT_BITS,
    )  # fmt: skip
    assert (layout._WAYS, layout._WAY_WORDS, layout._WAY_MASK) == (json_keys.KEY_WAYS, json_keys.WAY, json_keys.WAY_MASK)
    assert (layout._NO_WAY, layout._PROBES) == (json_keys.NO_WAY, json_keys.PROBES)
    assert (layout._NESTED, layout._OTHERWISE) == (json_values.NESTED, json_values.OTHERWISE)
    assert (layout._PATH, layout._STRUCT, layout._LIST, layout._MAP) == (
        json_nested.PATH, json_nested.STRUCT, json_nested.LIST, json_nested.MAP,
    )  # fmt: skip
    assert [layout._COERCIONS[name] for name in ("numbers", "bools", "empty", "text", "epoch_s", "hex", "round")] == [
        json_values.NUMBERS, json_values.BOOLS, json_values.EMPTY, json_values.TEXT, json_values.EPOCH, json_values.HEX, json_values.ROUND,
    ]  # fmt: skip
    kinds = ("bool", "int", "string", "timestamp", "date", "binary", "decimal", "time", "duration")
    assert [layout._KINDS[name] for name in kinds] == [
        json_values.BOOL, json_values.INTEGER, json_values.STRING, json_values.TIMESTAMP, json_values.DATE, json_values.BINARY,
        json_values.DECIMAL, json_values.TIME, json_values.DURATION,
    ]  # fmt: skip
    assert len(layout.Layout._node(-1, 0, -1, 0)) == json_nested.NODE_WORDS
    assert (decoder._REJECT, decoder._SPAN, decoder._LEVEL) == (json.REJECT, json_rest.SPAN_WORDS, json_nested.LEVEL_WORDS)
    assert [
        decoder._ROWS, decoder._REJECTS, decoder._HEAP, decoder._WANTED, decoder._KEYS, decoder._KEY_BYTES, decoder._OTHER_KEYS,
        decoder._CHECK_ABSENT, decoder._REST, decoder._SPANS, decoder._SEED, decoder._FIELDS, decoder._SPARE, decoder._NOWHERE, decoder._KNOWN,
    ] == [
        json.ROWS, json.REJECTS, json.HEAP, json.WANTED, json_keys.KEYS, json_keys.KEY_BYTES, json_keys.OTHER_KEYS,
        json.CHECK_ABSENT, json_rest.REST_COLUMN, json_rest.SPANS, json_nested.SEED, json.FIELDS, json_keys.SPARE, json_keys.NOWHERE, json.KNOWN,
    ]  # fmt: skip
    assert (decoder._MORE_HEAP, decoder._MORE_SPANS, decoder._AHEAD) == (json.MORE_HEAP, json.MORE_SPANS, json.AHEAD)
