# SPDX-License-Identifier: Apache-2.0
"""The door to the PostgreSQL store, whose driver is an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accord.errors import PostgresMissingError

if TYPE_CHECKING:
    from accord.service._postgres_store import PostgresStore


def open_postgres(conninfo: str, key: bytes) -> PostgresStore:
    """The store in the database that ``conninfo`` names, made where there is none yet.

    Raises ``PostgresMissingError`` without the driver, and what `PostgresStore` raises.
    """
    try:
        from accord.service._postgres_store import PostgresStore
    except ModuleNotFoundError as exc:
        raise PostgresMissingError from exc
    return PostgresStore(conninfo, key)
