# SPDX-License-Identifier: Apache-2.0
"""Witnesses: they cosign a log that only grows, and show it where one does not.

What replays boards is in `accord.witness.replay`: it takes several times as much memory.
"""

from accord.witness._app import SIZE_TYPE
from accord.witness._head import Head, origin_digest
from accord.witness._http import Limits
from accord.witness._keys import PUBLIC_FILE, WitnessKey
from accord.witness._serve import serve, serving
from accord.witness._store import STATE_FILE, FormerKey, WatchedLog, WitnessStore
from accord.witness._witness import Examiner, Witness

__all__ = [
    "PUBLIC_FILE",
    "SIZE_TYPE",
    "STATE_FILE",
    "Examiner",
    "FormerKey",
    "Head",
    "Limits",
    "WatchedLog",
    "Witness",
    "WitnessKey",
    "WitnessStore",
    "origin_digest",
    "serve",
    "serving",
]
