# SPDX-License-Identifier: Apache-2.0
"""The trust service: HTTP interface, storage, process. No domain logic lives here."""

from accord.service._app import create_app
from accord.service._backup import read_backup
from accord.service._core import TrustService
from accord.service._counter import MonotonicCounter
from accord.service._limits import Limits
from accord.service._memory_store import MemoryStore
from accord.service._openapi import openapi
from accord.service._postgres import open_postgres
from accord.service._server import STORE_LABEL, serve
from accord.service._sqlite_store import SQLiteStore
from accord.service._store import Store, Stored

__all__ = [
    "STORE_LABEL",
    "Limits",
    "MemoryStore",
    "MonotonicCounter",
    "SQLiteStore",
    "Store",
    "Stored",
    "TrustService",
    "create_app",
    "open_postgres",
    "openapi",
    "read_backup",
    "serve",
]
