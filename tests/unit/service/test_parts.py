# SPDX-License-Identifier: Apache-2.0
"""The values that the service has in memory because they were asked for last."""

import asyncio
from pathlib import Path

import pytest
from tests.support.live import Hardware
from tests.support.served import Served

from accord.service import _parts
from accord.service._secret_names import deposit_name


def test_the_values_asked_for_last_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than the limit; another one is read again, and what there is not stays unknown."""
    served = Served(Hardware.create(tmp_path / "hardware"), tmp_path)
    parts, board = served.service._parts, served.board
    monkeypatch.setattr(_parts, "RECENT", 1)
    deposits = [deposit_name(served.deposit(name, name.encode())) for name in ("one", "two")]
    for _ in range(2):
        found = [asyncio.run(parts.secret(board, name)) for name in deposits]
        assert None not in found
        assert found == [served.store.secret(board, name) for name in deposits]
        assert list(parts._recent) == [(board, deposits[1])]
    assert asyncio.run(parts.secret(board, "nothing")) is None
    assert len(parts._recent) == 1
