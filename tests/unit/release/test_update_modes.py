# SPDX-License-Identifier: Apache-2.0
"""Modes of update as a real trust service grants them: which keys come again, and which do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.live import Hardware
from tests.support.served import Served
from tests.support.tags import STATE

MOUNTS = [STATE, {"volume": "scratch", "at": "/data/scratch"}]


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.create(tmp_path_factory.mktemp("hardware"))


def test_only_the_key_of_a_volume_that_is_kept_comes_again(
    tmp_path: Path, hardware: Hardware
) -> None:
    """Runs and restarts share it; of an ephemeral volume each run has a key of its own."""
    served = Served(hardware, tmp_path)
    volumes = {"state": {"update": "unprotected"}, "scratch": {"update": "ephemeral"}}
    served.enact(served.policy(volumes=volumes, train={"volumes": MOUNTS}))
    grants = [served.release(), served.release()]
    served.restart()
    grants.append(served.release())
    kept, scratch = zip(*(grant.volumes for grant in grants), strict=True)

    assert len({volume.key for volume in kept}) == 1
    assert len({volume.key for volume in scratch}) == 3
    assert len({volume.volume_id for volume in scratch}) == 3
    assert [volume.tag for volume in scratch] == [None] * 3
    assert [*served.host.machine.board.tags] == ["job/state"]
