# SPDX-License-Identifier: Apache-2.0
"""Bundles of boards with witnesses: made over HTTP, cut where a quorum last saw the log."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.live import Hardware
from tests.support.witness import four_witnesses
from tests.support.witnessed import Witnessed

from accord.bundle import POLICY, verify_bundle_log
from accord.client import MemberHome
from accord.jobs import create_bundle
from accord.ledger import parse_policy_text


@pytest.mark.parametrize("freshness", [None, {"mode": "lease", "max_uses": 5, "ttl_s": 60}])
def test_bundle_of_a_witnessed_board_ends_where_a_quorum_saw_it(
    tmp_path: Path, freshness: dict[str, object] | None
) -> None:
    """The log in it is under a cosigned checkpoint, with the release, reserved or not."""
    hardware = Hardware.create(tmp_path / "hardware")
    with four_witnesses() as witnesses:
        board = Witnessed(hardware, tmp_path, witnesses=witnesses)
        try:
            board.ready(**({} if freshness is None else {"freshness": freshness}))
            board.release()
            board.release()
            with board.over_http() as url:
                MemberHome.join(board.root / "ann", board.genesis, url)
                member = MemberHome.load(board.root / "ann")
                with member.connect() as session:
                    _, machine, _ = member.read(session)
                    run = next(iter(machine.runs))
                    create_bundle(member, session, run=run, path=tmp_path / "bundle")
        finally:
            board.close()
    bundle, log = verify_bundle_log(tmp_path / "bundle", genesis=board.board)
    policy = parse_policy_text(bundle.files[POLICY].decode())

    assert len(log.cosigned) >= board.quorum
    assert policy.reached(log.cosigned)
    assert (freshness is not None) == (log.machine.runs[run].release.reservation is not None)
