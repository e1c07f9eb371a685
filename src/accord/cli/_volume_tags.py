# SPDX-License-Identifier: Apache-2.0
"""The live volumes of a board, as `accord volume tags` shows them."""

from __future__ import annotations

from accord.board import BoardState
from accord.encoding import JSONValue


def tags_json(board: BoardState) -> JSONValue:
    return {"volumes": [record.to_json() for record in board.tags.values()]}


def tag_lines(board: BoardState) -> list[str]:
    lines = []
    for name, record in sorted(board.tags.items()):
        state = "closed by" if record.clean else "OPEN in"
        lines += [
            f"volume   {name} ({record.volume_id})",
            f"  tag    {record.tag or '-'}, {state} {record.run} after {record.number} commits",
            f"  holds  {', '.join(record.assets) or 'no asset'}",
        ]
    return lines or ["no live volume was ever opened"]
