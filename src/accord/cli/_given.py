# SPDX-License-Identifier: Apache-2.0
"""What was given beside evidence: its vendor's endorsements, and keys to trust."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import click
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.cli._evidence_file import EvidenceFile
from accord.cli._options import read_file
from accord.collateral import (
    MAX_FILE_BYTES,
    CollateralCache,
    Form,
    Item,
    name_items,
    read_anchors,
    recognise,
    refresh,
    with_endorsements,
)
from accord.encoding import Digest, parse_digest
from accord.errors import AccordError, CollateralUnknownError, MalformedError
from accord.evidence import Evidence
from accord.evidence.arm import read_trust_anchors
from accord.policy import Family

_RAW_KEY_BYTES = 32
_KEYS = {Family.PSA: ("iak", "iak_certificate"), Family.CCA: ("cpak", "cpak_certificate")}
_TPMS = {Family.TPM, Family.TXT}
_NO_COLLATERAL = {Family.NITRO, Family.KEYSTONE}


@dataclass(frozen=True, slots=True)
class Endorsed:
    """Evidence with all endorsements at hand, and where those that become outdated are from.

    ``missing`` is why it is not complete. ``unconfirmed`` are keys of what evidence brought
    itself and nobody here can say is the newest, ``replaced`` of what the cache has newer.
    ``repeated`` says that a verdict's own went first.
    """

    evidence: Evidence
    missing: AccordError | None = None
    replaced: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Trusted:
    """What ``--anchor`` named: digests, and the keys and certificates in its files."""

    digests: tuple[Digest, ...]
    items: tuple[Item, ...]


def read_trusted(texts: Sequence[str]) -> Trusted:
    """Digests, or what files hold. Raises what `read_anchor` and the readers raise."""
    items: list[Item] = []
    for text in texts:
        if not text.startswith("sha256:"):
            data = read_file(Path(text))
            items += recognise(data, what=text) if len(data) != _RAW_KEY_BYTES else ()
    return Trusted(tuple(digest for text in texts for digest in read_anchor(text)), tuple(items))


def read_anchor(text: str) -> tuple[Digest, ...]:
    """What ``--anchor`` names: a digest, or what a file holds."""
    if text.startswith("sha256:"):
        try:
            return (parse_digest(text, what="--anchor"),)
        except MalformedError as exc:
            raise click.BadParameter(str(exc), param_hint="--anchor") from exc
    return read_anchors(read_file(Path(text)), what=text)


def read_named(text: str, option: str) -> tuple[str, bytes]:
    """``NAME=FILE``, read. Raises ``click.BadParameter`` or ``FileAccessError``."""
    name, separator, file = text.partition("=")
    if not separator or not name or not file:
        raise click.BadParameter(f"expected NAME=FILE, found {text!r}", param_hint=option)
    return name, read_file(Path(file), limit=MAX_FILE_BYTES)


def endorsed(
    stored: EvidenceFile,
    given: Sequence[str],
    cache: Path,
    *,
    trusted: Trusted,
    anchors: Collection[Digest],
    now: datetime,
    repeated: bool,
) -> Endorsed:
    """The evidence in ``stored`` with what was named, then with what is cached.

    ``repeated`` says that a stored verdict is asked for again, as of its own moment: only then
    does what it brings go before the cache's.
    """
    named, items = dict[str, bytes](), list[Item]()
    for text in given:
        if "=" in text and not Path(text).exists():
            name, data = read_named(text, "--collateral")
            named[name] = data
        else:
            items += recognise(read_file(Path(text), limit=MAX_FILE_BYTES), what=text)
    # A root that is trusted by name is no endorsement, but people give it as one.
    evidence, chosen = stored.evidence, frozenset[str]()
    if evidence.family in _NO_COLLATERAL:
        items = [item for item in items if not _is_root(item, anchors)]
    try:
        found = {**name_items(evidence, items), **named}
        evidence, chosen = with_endorsements(evidence, found), frozenset(found)
        evidence = _with_pinned_key(evidence, trusted.items)
        fresh = refresh(
            evidence,
            CollateralCache(cache),
            now=now,
            anchors=anchors,
            given=chosen,
            kept=repeated,
        )
    except CollateralUnknownError:  # wrong files were named
        raise
    except AccordError as exc:
        return Endorsed(evidence, exc, repeated=repeated)
    return Endorsed(fresh.evidence, None, fresh.replaced, fresh.unconfirmed, repeated)


def _is_root(item: Item, anchors: Collection[Digest]) -> bool:
    return bool(item.certificates) and all(
        one.issuer == one.subject and one.digest in anchors for one in item.certificates
    )


def _with_pinned_key(evidence: Evidence, items: Sequence[Item]) -> Evidence:
    """``evidence`` with the one key that was pinned, where it does not say what signed it.

    The digest that is pinned still decides: the key must only be there to verify with.
    """
    keys = [key for item in items for key in _keys(item)]
    if len(keys) != 1:
        return evidence
    if evidence.family in _KEYS and not evidence.endorsements:
        return with_endorsements(evidence, {_KEYS[evidence.family][0]: keys[0]})
    known = {"ak_public", "ak_spki"} & evidence.aux.keys()
    if evidence.family in _TPMS and not known and "ak_certificate" not in evidence.endorsements:
        return replace(evidence, aux=MappingProxyType({**evidence.aux, "ak_spki": keys[0]}))
    return evidence


def _keys(item: Item) -> list[bytes]:
    """The public keys in an item, in DER: bare ones, and of certificates of no authority."""
    if item.form is Form.KEY:
        return [
            anchor.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for anchor in read_trust_anchors(item.data, what=item.what)
        ]
    return [one.spki for one in item.certificates if not one.is_ca]
