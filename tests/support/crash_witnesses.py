# SPDX-License-Identifier: Apache-2.0
"""A board whose witnesses are killed like its trust service, and all that they ever cosigned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from accord.board import Witness, WitnessPolicy
from accord.client import MemberHome, TrustSession
from accord.identity import VerifyKey
from accord.ledger import LogHead, cosignatures, verify_checkpoint
from accord.release import log_origin
from accord.witness import WatchedLog, WitnessKey, WitnessStore, origin_digest
from tests.support.crash_process import Child, Nursery
from tests.support.live import Board, Hardware, accord, make_genesis
from tests.support.witnessing import ask

QUORUM = 2
NAMES = ("north", "south", "replaying")


@dataclass
class Witnesses:
    """Three of a board, of which any two are a quorum; the last one replays what it cosigns."""

    children: list[Child]
    keys: dict[str, WitnessKey]
    policy: WitnessPolicy
    origin: str = ""
    key: VerifyKey | None = None
    cosigned: dict[int, bytes] = field(default_factory=dict)
    """By size, the root that a witness has cosigned."""

    sizes: dict[str, int] = field(default_factory=dict)
    """By witness, how far it has cosigned at least."""

    @classmethod
    def create(cls, nursery: Nursery, folder: Path) -> Witnesses:
        """Each in a folder of its own; none runs yet."""
        children, keys, listed = [], {}, []
        for name in NAMES:
            home = folder / name
            home.mkdir(parents=True)
            keys[name] = WitnessKey.create(home, name)
            WitnessStore(home).close()
            options = ("--replay",) if name == NAMES[-1] else ()
            child = nursery.witness(home, *options)
            url = f"http://127.0.0.1:{child.port}"
            listed.append(Witness(name, name, keys[name].signer.verify_key, url))
            children.append(child)
        return cls(children, keys, WitnessPolicy(tuple(listed), QUORUM, 0))

    def found(self, root: Path, hardware: Hardware, url: str) -> Board:
        """Founds a board with these witnesses and starts them."""
        genesis, envelope = make_genesis(root, hardware, witnesses=self.policy)
        self.origin = log_origin(genesis.digest)
        with TrustSession.attest(url, genesis) as session:
            self.key = session.keyset.verify_key
            for child in self.children[:-1]:
                store = WitnessStore(child.folder)
                store.add(WatchedLog(self.origin, self.origin, self.key))
                store.close()
                child.start()
            session.found(envelope)
        place = ("--service", url, "--board", genesis.digest)
        added = accord("witness", "add", self.children[-1].folder, *place)
        if added.exit_code:
            raise RuntimeError(added.stderr)
        self.children[-1].start()
        for name in ("ann", "bob"):
            MemberHome.join(root / name, genesis, url)
        return Board(root, hardware, url, genesis, ("ann", "bob"), envelope)

    def check(self, session: TrustSession, head: LogHead) -> None:
        """Whatever anybody ever cosigned is of the log, and nobody forgot what they cosigned."""
        for child, (name, key) in zip(self.children, self.keys.items(), strict=True):
            shown = ask(child.url, "GET", f"/logs/{origin_digest(self.origin)}/checkpoint")
            if shown.status == 200:
                size = self._take(shown.body, {name: key.signer.verify_key})
                if size < self.sizes.get(name, 0):
                    message = f"{name} has forgotten {self.sizes[name]}, and says {size}"
                    raise RuntimeError(message)
                self.sizes[name] = size
        note = session.cosigned_note()
        if note is not None:
            self._take(note, {item.name: item.key for item in self.policy.witnesses})
        for size, root in self.cosigned.items():
            if head.root(size) != root:
                message = f"another log of {size} entries was cosigned"
                raise RuntimeError(message)

    def _take(self, note: bytes, keys: dict[str, VerifyKey]) -> int:
        if self.key is None or not cosignatures(note, keys):
            message = "nobody has cosigned this"
            raise RuntimeError(message)
        seen = verify_checkpoint(note, origin=self.origin, name=self.origin, key=self.key)
        if self.cosigned.setdefault(seen.size, seen.root) != seen.root:
            message = f"two logs of {seen.size} entries were cosigned"
            raise RuntimeError(message)
        return seen.size
