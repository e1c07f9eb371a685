# SPDX-License-Identifier: Apache-2.0
"""Vendors' endorsements: telling their files apart, keeping them, giving them to evidence."""

from accord.collateral._anchors import read_anchors
from accord.collateral._cache import WARN_BEFORE, CollateralCache, Entry, known_certificates
from accord.collateral._complete import cached_endorsements, name_items, with_endorsements
from accord.collateral._fetch import (
    Answer,
    Get,
    Wanted,
    amd,
    check_fetched,
    fetch,
    https_get,
    intel,
    nvidia,
    wanted_for,
)
from accord.collateral._forms import MAX_FILE_BYTES, Form, Item, recognise
from accord.collateral._pieces import Piece, certify, to_pem
from accord.collateral._refresh import Refreshed, refresh
from accord.collateral._verdict import MAX_VERDICT_BYTES, Verdict

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_VERDICT_BYTES",
    "WARN_BEFORE",
    "Answer",
    "CollateralCache",
    "Entry",
    "Form",
    "Get",
    "Item",
    "Piece",
    "Refreshed",
    "Verdict",
    "Wanted",
    "amd",
    "cached_endorsements",
    "certify",
    "check_fetched",
    "fetch",
    "https_get",
    "intel",
    "known_certificates",
    "name_items",
    "nvidia",
    "read_anchors",
    "recognise",
    "refresh",
    "to_pem",
    "wanted_for",
    "with_endorsements",
]
