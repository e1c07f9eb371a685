# SPDX-License-Identifier: Apache-2.0
"""Where statements stand, in little memory."""

import pytest

from accord.board._recorded import Recorded
from accord.encoding import sha256


def test_digests_lead_to_their_entries_in_order() -> None:
    """A dictionary from digests to indexes, but smaller."""
    first, second, third = (sha256(word) for word in (b"one", b"two", b"three"))
    recorded = Recorded()
    recorded[first], recorded[second] = 0, 1
    assert {first: 0, second: 1} == recorded
    assert [first, second] == list(recorded)
    assert (second in recorded, third in recorded) == (True, False)
    del recorded[first]
    assert len(recorded) == 1
    with pytest.raises(KeyError):
        recorded[first]
