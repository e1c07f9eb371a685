# SPDX-License-Identifier: Apache-2.0
"""Quotes as other tools write them, made into evidence; nothing is verified here."""

from __future__ import annotations

import binascii
import html
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final

from accord.encoding import Fields, canonical_json, parse_json
from accord.errors import EncodingError, EvidenceMalformedError
from accord.evidence._certificate import load_certificates
from accord.evidence._evidence import Evidence
from accord.evidence._reader import Reader
from accord.evidence.tpm._quote import Registers, format_registers, pack_quote
from accord.evidence.tpm._structures import (
    HASHES,
    Attest,
    Quoted,
    Selection,
    parse_attest,
    read_signature,
    spki_of,
)
from accord.evidence.tpm._txtlog import LAUNCH_REGISTERS
from accord.policy import Family

MAX_IMPORT_BYTES = 4 << 20
"""Largest file: quote, registers and logs of one machine, in base64."""

_WHAT: Final = "imported quote"
_SIZES = dict(HASHES.values())
# tpm2-tools writes C structures as they lie in memory: 16 selections of 8 bytes, then lists of
# up to 8 digests of 2 + 64 bytes.
_TOOLS_SELECTIONS, _TOOLS_SELECTION_BYTES = 16, 8
_TOOLS_DIGESTS, _TOOLS_DIGEST_BYTES = 8, 64
_GO_HASHES: Mapping[int, str] = {3: "sha1", 5: "sha256", 6: "sha384", 7: "sha512"}
"""Numbers of Go's crypto.Hash."""


def import_quote(
    attested: bytes,
    signature: bytes,
    *,
    family: Family = Family.TPM,
    values: bytes,
    endorsements: Mapping[str, bytes] | None = None,
    aux: Mapping[str, bytes],
) -> Evidence:
    """Evidence of a bare TPMS_ATTEST and TPMT_SIGNATURE, as tpm2-tools and Go's library give.

    ``values`` are the quoted registers: one after the other (``tpm2_quote
    --pcrs_format=values``), or the structures that ``tpm2_quote -o`` writes otherwise.
    ``aux`` has ``ak_public`` or ``ak_spki``, and logs. Raises ``EvidenceMalformedError``.
    """
    selections = _selections(parse_attest(attested))
    wanted = [(item.bank, index) for item in selections for index in item.indices]
    sizes = [_SIZES[bank] for bank, _ in wanted]
    split = (
        _split(values, sizes) if len(values) == sum(sizes) else _tools_values(values, selections)
    )
    registers: Registers = dict(zip(wanted, split, strict=True))
    return Evidence(
        family,
        pack_quote(attested, signature),
        dict(endorsements or {}),
        {**aux, "pcrs": format_registers(registers)},
    )


def import_response(
    response: bytes,
    *,
    family: Family = Family.TPM,
    endorsements: Mapping[str, bytes] | None = None,
    aux: Mapping[str, bytes],
) -> Evidence:
    """Evidence of what TPM2_Quote returns (a sized TPMS_ATTEST, a TPMT_SIGNATURE), then values.

    Raises ``EvidenceMalformedError``.
    """
    reader = Reader(response, _WHAT, "big")
    attested = reader.sized(2)
    before = reader.left
    read_signature(reader)
    at = len(response) - before
    values = reader.rest()
    signature = response[at : len(response) - len(values)]
    return import_quote(
        attested, signature, family=family, values=values, endorsements=endorsements, aux=aux
    )


def import_trust_agent(data: bytes) -> Evidence:
    """TXT evidence of the XML that Intel's trust agent answers with.

    Of its AIK certificate only the key is used, since the root is not in the answer: pin the
    key, or add ``ak_certificate`` and ``ak_chain``. Raises ``EvidenceMalformedError``.
    """
    text = _bounded(data).decode("utf-8", "replace")
    certificate = load_certificates(_base64(_element(text, "aik")), what="AIK certificate")[0]
    log = html.unescape(_element(text, "eventLog"))
    return import_response(
        _base64(_element(text, "quote")),
        family=Family.TXT,
        aux={"ak_spki": spki_of(certificate.key), "txt_log": log.encode()},
    )


def import_host_manifest(data: bytes, *, quote: bytes | None) -> Evidence:
    """TXT evidence of a host manifest (Intel's verification service) and a quote of that host.

    A manifest lists registers, a key and logs, and no signature: ``quote`` is what TPM2_Quote
    returned for these registers (sized TPMS_ATTEST, TPMT_SIGNATURE). Of its certificate only
    the key is used, as in `import_trust_agent`. Raises ``EvidenceMalformedError``.
    """
    what = "host manifest"
    try:
        root = Fields(parse_json(_bounded(data), what=what, limit=MAX_IMPORT_BYTES), what)
        manifest = root.object("pcr_manifest")
        found = {
            (item.text("pcr_bank").lower(), item.text("index")): item.text("value")
            for name in ("sha1pcrs", "sha2pcrs")
            for item in (manifest.objects(name) if manifest.has(name) else ())
        }
        logs = manifest.object("pcr_event_log_map")
        events = [
            item
            for bank in logs.names()
            for item in logs.take(bank) or []
            if item["pcr"]["index"] in LAUNCH_REGISTERS
        ]
        certificate = load_certificates(_long(root, "aik_certificate"), what="AIK certificate")[0]
    except (EncodingError, TypeError, KeyError) as exc:
        raise EvidenceMalformedError(what=what, detail=str(exc)) from exc
    if quote is None:
        detail = (
            f"it has {len(found)} registers, logs and a key, but no quote: nothing of it is "
            "signed (--aux quote=FILE adds what TPM2_Quote returned)"
        )
        raise EvidenceMalformedError(what=what, detail=detail)
    reader = Reader(quote, _WHAT, "big")
    attested = reader.sized(2)
    wanted = [
        (item.bank, f"pcr_{index}")
        for item in _selections(parse_attest(attested))
        for index in item.indices
    ]
    try:
        values = b"".join(bytes.fromhex(found[register]) for register in wanted)
    except (KeyError, ValueError) as exc:
        raise EvidenceMalformedError(what=what, detail="it lacks quoted registers") from exc
    aux = {"ak_spki": spki_of(certificate.key)}
    if events:
        aux["txt_log"] = canonical_json(events)
    return import_quote(attested, reader.rest(), family=Family.TXT, values=values, aux=aux)


def import_go_attestation(data: bytes) -> Evidence:
    """Evidence of the JSON of ``go-attestation``: AK, quote, registers and event log.

    Raises ``EvidenceMalformedError``.
    """
    try:
        root = Fields(parse_json(_bounded(data), what=_WHAT, limit=MAX_IMPORT_BYTES), _WHAT)
        quote, log = root.object("Quote"), root.object("Log")
        attested, signature = (_long(quote, key) for key in ("Quote", "Signature"))
        public, events = _long(root.object("AK"), "Public"), _long(log, "Raw")
        found = {
            (
                _GO_HASHES.get(item.integer("DigestAlg", minimum=0), ""),
                item.integer("Index", minimum=0),
            ): _long(item, "Digest")
            for item in log.objects("PCRs")
        }
    except EncodingError as exc:
        raise EvidenceMalformedError(what=_WHAT, detail=str(exc)) from exc
    wanted = [
        (item.bank, index) for item in _selections(parse_attest(attested)) for index in item.indices
    ]
    if not found.keys() >= set(wanted):
        raise EvidenceMalformedError(what=_WHAT, detail="it lacks quoted registers")
    values = b"".join(found[register] for register in wanted)
    return import_quote(
        attested, signature, values=values, aux={"ak_public": public, "event_log": events}
    )


def _selections(attest: Attest) -> Sequence[Selection]:
    if not isinstance(attest.attested, Quoted):
        raise EvidenceMalformedError(what=_WHAT, detail="it attests a key, not registers")
    return attest.attested.selections


def _split(values: bytes, sizes: list[int]) -> list[bytes]:
    reader = Reader(values, _WHAT)
    return [reader.take(size) for size in sizes]


def _tools_values(data: bytes, selections: Sequence[Selection]) -> list[bytes]:
    """TPML_PCR_SELECTION, a count, and as many TPML_DIGEST, in little-endian memory layout."""
    what = "PCR file of tpm2-tools"
    reader = Reader(data, what)
    count, found = reader.number(4), []
    for position in range(_TOOLS_SELECTIONS):
        bank, size = reader.number(2), reader.number(1)
        bits = int.from_bytes(reader.take(_TOOLS_SELECTION_BYTES - 3)[: min(size, 4)], "little")
        if position < count:
            found.append((HASHES.get(bank, ("", 0))[0], bits))
    if found != [(item.bank, sum(1 << at for at in item.indices)) for item in selections]:
        raise EvidenceMalformedError(what=what, detail="it is of other registers than the quote")
    values = []
    for _ in range(reader.number(4)):
        used = reader.number(4)
        digests = [
            (reader.number(2), reader.take(_TOOLS_DIGEST_BYTES)) for _ in range(_TOOLS_DIGESTS)
        ]
        values += [value[:size] for size, value in digests[:used]]
    reader.end()
    if len(values) != sum(len(item.indices) for item in selections):
        raise EvidenceMalformedError(what=what, detail=f"it has {len(values)} values")
    return values


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_IMPORT_BYTES:
        raise EvidenceMalformedError(what=_WHAT, detail=f"larger than {MAX_IMPORT_BYTES} bytes")
    return data


def _element(text: str, name: str) -> str:
    """The text of the only element ``name``: the agent's XML has neither depth nor attributes."""
    found = re.findall(f"<{name}>([^<]*)</{name}>", text)
    if len(found) != 1:
        raise EvidenceMalformedError(what=_WHAT, detail=f"expected one element {name}")
    return str(found[0])


def _base64(text: str) -> bytes:
    try:
        return b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EvidenceMalformedError(what=_WHAT, detail="a value is no base64") from exc


def _long(fields: Fields, name: str) -> bytes:
    return _base64(fields.text(name, limit=MAX_IMPORT_BYTES))
