# SPDX-License-Identifier: Apache-2.0
"""Every fuzz target works without a fuzzer as well: only errors of the catalogue come out."""

import pytest
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import AccordError


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_target_takes_any_bytes(name: str) -> None:
    """A few bytes for each, so that none of them rots between two runs of `make fuzz`."""

    @settings(max_examples=15, deadline=None, database=None)
    @given(st.binary(max_size=200))
    def feed(data: bytes) -> None:
        try:
            TARGETS[name](data)
        except AccordError:
            return

    feed()
