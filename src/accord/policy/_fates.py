# SPDX-License-Identifier: Apache-2.0
"""What an update of a policy does to the values of its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from accord.policy._secrets import CERTIFICATE_KINDS, SecretKind, SecretSpec


class Fate(StrEnum):
    """What becomes of the value of a secret when a new version of its policy is enacted."""

    KEPT = "kept"
    GENERATED = "generated"
    REISSUED = "reissued"
    """A certificate of the same name was there; it is issued anew."""

    IMPORTED = "imported"
    DEPOSITED = "deposited"
    DROPPED = "dropped"


def carried_over(
    old: Mapping[str, SecretSpec], new: Mapping[str, SecretSpec]
) -> Mapping[str, Fate]:
    """What becomes of each value when ``new`` replaces ``old`` (empty: there was no version)."""
    fates = {name: _fate(name, old, new) for name in new}
    fates.update({name: Fate.DROPPED for name in old if name not in new})
    return MappingProxyType(fates)


def _fate(name: str, old: Mapping[str, SecretSpec], new: Mapping[str, SecretSpec]) -> Fate:
    before, after = old.get(name), new[name]
    if after.kind is SecretKind.IMPORT:
        return Fate.IMPORTED
    if after.kind is SecretKind.ASSET:
        return Fate.DEPOSITED
    if before is None or before.kind is not after.kind:
        return Fate.GENERATED
    if after.kind in CERTIFICATE_KINDS:
        return Fate.REISSUED
    if after.of is not None:
        return _fate(after.of, old, new) if before.of == after.of else Fate.GENERATED
    same = (before.size, before.algorithm, before.rotate) == (
        after.size,
        after.algorithm,
        after.rotate,
    )
    is_key = after.algorithm is not None
    kept = same and (not is_key or (before.migrate and after.migrate))
    return Fate.KEPT if kept else Fate.GENERATED
