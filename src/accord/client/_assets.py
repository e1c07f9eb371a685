# SPDX-License-Identifier: Apache-2.0
"""An owner's side of an asset: the key ring, sealing, offering and withdrawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accord.board import AssetKind, AssetOffer, AssetWithdrawal, Terms
from accord.client._home import MemberHome
from accord.client._session import TrustSession
from accord.encoding import Digest, Fields, base64_encode, canonical_json, parse_json, parse_name
from accord.errors import IdentityNotFoundError, TermsError, UnknownAssetError
from accord.identity import PRIVATE, read_private, seal, sign_statement, write_whole
from accord.release import ASSET_KEY_PURPOSE, Machine, asset_key_context
from accord.volumes import (
    LocalStore,
    Volume,
    VolumeId,
    VolumeKey,
    VolumeVersion,
    key_commitment,
    new_volume_id,
    open_volume,
    parse_volume_id,
    seal_volume,
)

_SCHEMA = "accord.volume-key.v1"


@dataclass(frozen=True, slots=True)
class RingEntry:
    """What an owner must keep of a volume: its id, its key, and the tag of the latest version."""

    volume_id: VolumeId
    key: VolumeKey
    tag: Digest | None


def _ring_path(home: Path, name: str) -> Path:
    parse_name(name, what="asset.name")
    return home / "volumes" / f"{name}.secret.json"


def load_ring_entry(home: Path, name: str) -> RingEntry:
    """Raises ``IdentityNotFoundError``, ``IdentityExposedError`` or ``MalformedError``."""
    path = _ring_path(home, name)
    fields = Fields(parse_json(read_private(path), what=str(path)), str(path))
    fields.schema(_SCHEMA)
    entry = RingEntry(
        parse_volume_id(fields.take("volume_id"), what=fields.path("volume_id")),
        VolumeKey(fields.data("key", size=32)),
        fields.optional("tag", fields.digest),
    )
    fields.end()
    return entry


def _save_ring_entry(home: Path, name: str, entry: RingEntry) -> None:
    document = {
        "schema": _SCHEMA,
        "volume_id": entry.volume_id,
        "key": base64_encode(entry.key.raw),
    }
    if entry.tag is not None:
        document["tag"] = entry.tag
    write_whole(_ring_path(home, name), canonical_json(document), mode=PRIVATE)


def seal_asset(
    home: Path,
    name: str,
    source: Path,
    storage: Path,
    *,
    if_changed: bool = False,
    progress: Callable[[int], None] | None = None,
) -> VolumeVersion:
    """Seals ``source`` as the next version of the asset's volume below ``storage``.

    With ``if_changed`` a version that holds the same bytes already is returned as it is.

    The key is saved before anything is encrypted with it, the tag after everything is stored:
    killed in between, the next call makes a version again and nothing is lost.
    """
    try:
        entry = load_ring_entry(home, name)
    except IdentityNotFoundError:
        entry = RingEntry(new_volume_id(), VolumeKey.generate(), None)
        _save_ring_entry(home, name, entry)
    store = LocalStore(storage / entry.volume_id)
    parent = None
    if entry.tag is not None:
        volume = open_volume(store, key=entry.key, volume_id=entry.volume_id, tag=entry.tag)
        parent = volume.version
        if if_changed and _holds(volume, source):
            return parent
    version = seal_volume(
        source,
        store,
        key=entry.key,
        volume_id=entry.volume_id,
        parent=parent,
        progress=progress,
    )
    _save_ring_entry(home, name, RingEntry(entry.volume_id, entry.key, version.tag))
    return version


def offer_asset(
    home: MemberHome,
    session: TrustSession,
    machine: Machine,
    name: str,
    terms: Terms,
    *,
    volume: str,
) -> tuple[AssetOffer, int]:
    """Offers the latest version of ``volume`` as the asset ``name``, under ``terms``.

    The same offer again changes nothing. The key goes to the attested trust service alone,
    bound to this very offer. Returns the offer and the index of its entry.
    """
    must_be_worth(session, terms, f"{home.name}/{name}")
    entry = load_ring_entry(home.identity.home, volume)
    if entry.tag is None:
        raise UnknownAssetError(asset=f"{home.name}/{volume}")
    asset = f"{home.name}/{name}"
    record = machine.board.assets.get(asset)
    offer = AssetOffer(
        board=session.board,
        name=asset,
        kind=AssetKind.VOLUME,
        volume_id=entry.volume_id,
        tag=entry.tag,
        key_commitment=key_commitment(entry.key, volume_id=entry.volume_id),
        terms=terms,
        predecessor=record.latest if record else None,
    )
    key_id = home.identity.public.verify_key.key_id
    # An offer under an earlier key of the member is void: the same again is a new one.
    if record is not None and not record.withdrawn and record.owner_key == key_id:
        current = record.offer
        unchanged = (current.volume_id, current.tag, current.terms) == (
            offer.volume_id,
            offer.tag,
            offer.terms,
        )
        if unchanged:
            return current, machine.board.recorded[record.offered_by]
    envelope = sign_statement("asset", offer.to_json(), [home.identity.signer])
    sealed = seal(
        entry.key.raw,
        session.keyset.seal_key,
        purpose=ASSET_KEY_PURPOSE,
        context=asset_key_context(envelope.statement_digest),
    )
    return offer, session.submit(envelope, sealed_key=sealed)


def must_be_worth(session: TrustSession, terms: Terms, asset: str) -> None:
    """Raises ``TermsError`` unless the trust service is worth what the terms ask of a run.

    It holds the key, or the value, from now on.
    """
    assurance = session.result.claims.assurance
    if not assurance.at_least(terms.min_assurance):
        raise TermsError(
            asset=asset,
            field="assurance of the trust service",
            expected=f"at least {terms.min_assurance}",
            found=assurance,
        )


def withdraw_asset(
    home: MemberHome, session: TrustSession, machine: Machine, name: str, *, erase: bool = False
) -> int:
    """Withdraws the member's asset; withdrawing twice changes nothing. Returns the index.

    With ``erase`` the trust service erases keys or values that came with all its offers, and
    once more where that was said before: an earlier answer may have been lost.
    """
    asset = f"{home.name}/{name}"
    record = machine.board.assets.get(asset)
    if record is None:
        raise UnknownAssetError(asset=asset)
    if record.withdrawn and not erase:
        return machine.board.recorded[record.latest]
    withdrawal = AssetWithdrawal(session.board, asset, record.latest, erase)
    envelope = sign_statement("asset-withdrawal", withdrawal.to_json(), [home.identity.signer])
    return session.submit(envelope)


def _holds(volume: Volume, source: Path) -> bool:
    """Whether the volume has exactly the files of ``source``, with the same bytes."""
    if source.is_file():
        files = {source.name: source}
    else:
        found = (path for path in source.rglob("*") if path.is_file())
        files = {path.relative_to(source).as_posix(): path for path in found}
    sealed = {item.path: item.size for item in volume.entries()}
    if sealed != {name: path.stat().st_size for name, path in files.items()}:
        return False
    return all(volume.read(name) == path.read_bytes() for name, path in files.items())
