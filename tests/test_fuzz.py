"""The fuzzer's targets take any bytes; `make fuzz` looks longer, and where the code leads."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS

SEEDS = [
    b"[metrics]\nhandlers = a\n[metrics.handler.a]\nclass = null\nlabels = %(x)s\n",
    b"10s, env=prod, {name}.{statistic}, shop.queue > 100 1000, 127.0.0.1:80",
    b"text/html;q=0.5, */*\nformat=json&query=%ff*\nBasic Og==",
    b't=1700000000.123, 9e999\n2\n[8,2,["counter","x",[],"",null,"",20,"","sum",[]]]\n',
    b"[" * 3000,
    json.dumps(["m", "e", 20, 1.0, ["d", "ok", {}, [], None, None]]).encode() + b"\n",
]
DATA = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(SEEDS).flatmap(
        lambda seed: st.tuples(
            st.integers(0, len(seed)), st.binary(max_size=8), st.integers(0, len(seed))
        ).map(lambda cut: seed[: cut[0]] + cut[1] + seed[cut[2] :])
    ),
)


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"command_line"}))
@settings(max_examples=60)
@given(data=DATA)
@example(data=SEEDS[0])
@example(data=SEEDS[1])
@example(data=SEEDS[2])
@example(data=SEEDS[3])
@example(data=SEEDS[4])
@example(data=SEEDS[5])
def test_any_bytes_are_taken(name: str, data: bytes) -> None:
    """Whatever comes from a file, a client or a server: an answer, or an error that is meant."""
    TARGETS[name](data)
