# SPDX-License-Identifier: Apache-2.0
"""The tables of a store in PostgreSQL, and the statements that say who writes."""

from __future__ import annotations

import os

import psycopg

from accord.encoding import canonical_json
from accord.service._postgres_pool import Row
from accord.service._store_seal import FORMAT, KEY_BYTES, Seal, StateDigest

MAKING = 0x6163636F7264
"""The advisory lock under which the tables are made, by one process only."""

TABLES = """
CREATE SCHEMA accord;
CREATE TABLE accord.store (
    format TEXT NOT NULL, salt BYTEA NOT NULL, proof BYTEA NOT NULL, head BYTEA NOT NULL);
CREATE TABLE accord.board (board TEXT PRIMARY KEY, size BIGINT NOT NULL, head BYTEA NOT NULL);
CREATE TABLE accord.entry (
    board TEXT, place BIGINT, sealed BYTEA NOT NULL, PRIMARY KEY (board, place));
CREATE TABLE accord.object (
    board TEXT, name BYTEA, sealed BYTEA NOT NULL, PRIMARY KEY (board, name));
CREATE TABLE accord.secret (
    board TEXT, name BYTEA, sealed BYTEA NOT NULL, PRIMARY KEY (board, name));
CREATE TABLE accord.setting (name BYTEA PRIMARY KEY, sealed BYTEA NOT NULL);
CREATE TABLE accord.projection (
    board TEXT PRIMARY KEY, size BIGINT NOT NULL, sealed BYTEA NOT NULL);
CREATE TABLE accord.writer (
    board TEXT PRIMARY KEY, holder TEXT NOT NULL, token BIGINT NOT NULL,
    until TIMESTAMPTZ NOT NULL)
"""

# One statement, so that head and settings are of one moment.
SETTINGS = """
SELECT store.head, setting.name, setting.sealed FROM accord.store LEFT JOIN accord.setting ON true
"""

# All times are the database's: the processes need not agree on any.
ACQUIRE = """
INSERT INTO accord.writer VALUES (%(board)s, %(holder)s, 1, clock_timestamp() + %(lease)s)
ON CONFLICT (board) DO UPDATE
SET holder = excluded.holder, token = writer.token + 1, until = excluded.until
WHERE writer.holder IN ('', excluded.holder) OR writer.until <= clock_timestamp()
RETURNING token
"""
HOLD = """
UPDATE accord.writer SET until = clock_timestamp() + %s
WHERE board = %s AND token = %s AND holder <> '' RETURNING holder
"""
END = """
UPDATE accord.writer SET holder = '', until = clock_timestamp() WHERE board = %s AND token = %s
"""


def make(db: psycopg.Connection[Row], key: bytes) -> None:
    """Makes the tables, a salt, and a proof of the key."""
    salt = os.urandom(KEY_BYTES)
    db.execute(TABLES)
    seal = Seal(key, salt=salt)
    head = seal.seal(canonical_json(StateDigest().to_hex()), "head")
    row = (FORMAT, salt, seal.seal(b"", "proof"), head)
    db.execute("INSERT INTO accord.store VALUES (%s, %s, %s, %s)", row)
