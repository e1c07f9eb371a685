# SPDX-License-Identifier: Apache-2.0
"""The whole state as one document, from which the same state can be built again.

A snapshot is the word of whoever wrote it: it saves replaying a log, it does not replace it.
"""

from __future__ import annotations

from accord.board import MAX_RECORDS, board_to_json, read_board
from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    base64_decode,
    base64_encode,
    canonical_json,
    sha256,
)
from accord.identity import VerifyKey
from accord.release._documents import NONCE_BYTES, ServiceStart
from accord.release._grant import KEY_BYTES
from accord.release._handover import Handover
from accord.release._machine import Machine
from accord.release._reservations import Reserved
from accord.release._root_shares import RootShares
from accord.release._run import RunRecord

SNAPSHOT_SCHEMA = "accord.state.v1"


def machine_to_json(machine: Machine) -> JSONValue:
    """A snapshot: everything that the log has led to, but not the log."""
    released = {record.release.nonce for record in machine.runs.values()}
    return {
        "schema": SNAPSHOT_SCHEMA,
        "board": board_to_json(machine.board),
        "started": [{"start": start.to_json(), "index": index} for start, index in machine.started],
        "uses": [{"offer": offer, "number": number} for offer, number in machine.uses.items()],
        "runs": [record.to_json() for record in machine.runs.values()],
        "nonces": sorted(map(base64_encode, set(machine.nonces) - released)),
        "totp_steps": [
            {"source": source, "step": step} for source, step in machine.totp_steps.items()
        ],
        "reservations": [reserved.to_json() for reserved in machine.reservations.values()],
        "log_key": None if machine.log_key is None else base64_encode(machine.log_key.raw),
        "former_keys": [base64_encode(key.raw) for key in machine.former_keys],
        "handover": None if machine.handover is None else machine.handover.to_json(),
        "root_shares": None if machine.root_shares is None else machine.root_shares.to_json(),
    }


def read_machine(value: JSONValue) -> Machine:
    """The state that `machine_to_json` wrote down.

    That a log leads to it is *not* checked: a snapshot is worth as much as whoever kept it.
    Raises ``MalformedError``, ``UnsupportedFormatError`` and what reading the parts raises.
    """
    fields = Fields(value, "snapshot")
    fields.schema(SNAPSHOT_SCHEMA)
    machine = Machine(read_board(fields.object("board")))
    for item in fields.objects("started", limit=MAX_RECORDS):
        start = ServiceStart.from_fields(item.object("start"))
        machine.started.append((start, item.integer("index", minimum=1)))
        item.end()
    for item in fields.objects("uses", limit=MAX_RECORDS):
        machine.uses[item.digest("offer")] = item.integer("number", minimum=1)
        item.end()
    for item in fields.objects("runs", limit=MAX_RECORDS):
        record = RunRecord.from_fields(item)
        machine.runs[record.release.run] = record
        machine.nonces.add(record.release.nonce)
    machine.nonces |= {*fields.blobs("nonces", size=NONCE_BYTES, most=MAX_RECORDS)}
    for item in fields.objects("totp_steps", limit=MAX_RECORDS):
        source = item.text("source", limit=512)
        machine.totp_steps[source] = item.integer("step", minimum=0)
        item.end()
    for item in fields.objects("reservations", limit=MAX_RECORDS):
        reserved = Reserved.from_fields(item)
        machine.reservations[reserved.reservation.key] = reserved
    key = fields.take("log_key")
    if key is not None:
        machine.log_key = VerifyKey(base64_decode(str(key), what="snapshot.log_key"))
    former = fields.blobs("former_keys", size=KEY_BYTES, most=MAX_RECORDS)
    machine.former_keys += map(VerifyKey, former)
    handover = fields.take("handover")
    if handover is not None:
        machine.handover = Handover.from_fields(Fields(handover, "snapshot.handover"))
    shares = fields.take("root_shares")
    if shares is not None:
        machine.root_shares = RootShares.from_fields(Fields(shares, "snapshot.root_shares"))
    fields.end()
    return machine


def state_digest(machine: Machine) -> Digest:
    """SHA-256 of the snapshot: equal for whoever came to the same state."""
    return sha256(canonical_json(machine_to_json(machine)))
