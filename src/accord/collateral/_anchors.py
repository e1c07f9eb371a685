# SPDX-License-Identifier: Apache-2.0
"""Trust anchors in files: roots, and the keys of devices that have no certificates."""

from __future__ import annotations

from accord.collateral._forms import Form, recognise
from accord.encoding import Digest, sha256
from accord.errors import CollateralUnknownError
from accord.evidence.arm import read_trust_anchors

_RAW_KEY_BYTES = 32


def read_anchors(data: bytes, *, what: str) -> tuple[Digest, ...]:
    """What to pin for the roots or keys in a file.

    Of certificates those that issued themselves: pinning an intermediate one would pin
    nothing. Of certificates that are no authority's their keys too, which devices without a
    vendor's root are pinned by. 32 bytes are the raw key of a Keystone device.

    Raises ``CollateralUnknownError``, or what the reader of the file's form raises.
    """
    if len(data) == _RAW_KEY_BYTES:
        return (sha256(data),)
    found: list[Digest] = []
    for item in recognise(data, what=what):
        if item.form is Form.KEY:
            found += [anchor.digest for anchor in read_trust_anchors(item.data, what=what)]
        elif item.form is Form.CERTIFICATES:
            found += [c.digest for c in item.certificates if c.issuer == c.subject]
            found += [sha256(c.spki) for c in item.certificates if not c.is_ca]
    if not found:
        raise CollateralUnknownError(what=what, detail="it holds neither a root nor a key")
    return tuple(found)
