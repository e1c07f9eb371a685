# SPDX-License-Identifier: Apache-2.0
"""TPM 2.0 commands as bytes, over any ``transmit``: /dev/tpmrm0, a socket, a fake.

Nothing here opens a device, waits or verifies: ``transmit`` takes one whole command and
returns one whole response, and `accord.evidence.tpm` judges what came out. A character device
is ``write(command)``, then one ``read(4096)``; the simulator's socket is the same.

    tpm = TPM(transmit)
    public, ek = tpm.create_primary(ENDORSEMENT, EK_RSA2048)     # or EK_P256, EK_P384
    public, ak = tpm.create_primary(ENDORSEMENT, AK_P256)        # or AK_RSA2048
    public, name = tpm.read_public(0x81010001)                   # TPMT_PUBLIC and its name
    attest, signature = tpm.quote(ak, extra_data, selection)     # TPMS_ATTEST, TPMT_SIGNATURE
    values = tpm.pcr_read(selection)                             # {(bank, index): value}
    tpm.pcr_extend(index, {bank: digest, ...})
    tpm.nv_define(index, size); tpm.nv_write(index, data); data = tpm.nv_read(index)
    secret = tpm.activate_credential(ak, ek, id_object, encrypted_secret)
    tpm.flush(handle)                                            # without a resource manager

``selection`` maps banks by name (``sha1``, ``sha256``, ``sha384``, ``sha512``) to PCR indices.
Every authorization value is empty; an EK of a low-range template is used by its policy.
Numbers and layouts: TCG TPM 2.0 Library, parts 2 (structures) and 3 (commands), 1.59; templates:
TCG EK Credential Profile 2.5, annex B.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from accord.errors import TPMCommandError

Transmit = Callable[[bytes], bytes]
"""Sends one command and returns its response."""

OWNER: Final = 0x40000001
ENDORSEMENT: Final = 0x4000000B
PLATFORM: Final = 0x4000000C
_NULL: Final = 0x40000007
_PASSWORD_SESSION: Final = 0x40000009

BANKS: Mapping[str, tuple[int, int]] = {
    "sha1": (0x0004, 20),
    "sha256": (0x000B, 32),
    "sha384": (0x000C, 48),
    "sha512": (0x000D, 64),
}
"""Algorithm identifier and digest size of each bank."""

_BANK_NAMES = {identifier: name for name, (identifier, _) in BANKS.items()}

_ST_NO_SESSIONS, _ST_SESSIONS = 0x8001, 0x8002
_NV_DEFINE_SPACE, _CREATE_PRIMARY, _NV_WRITE = 0x12A, 0x131, 0x137
_ACTIVATE_CREDENTIAL, _NV_READ, _POLICY_SECRET = 0x147, 0x14E, 0x151
_SHUTDOWN, _QUOTE, _FLUSH_CONTEXT, _NV_READ_PUBLIC = 0x145, 0x158, 0x165, 0x169
_READ_PUBLIC, _START_AUTH_SESSION, _GET_CAPABILITY = 0x173, 0x176, 0x17A
_NV_INCREMENT = 0x134
_PCR_READ, _PCR_EXTEND, _NV_UNDEFINE_SPACE = 0x17E, 0x182, 0x122
_NAMES = {
    _NV_UNDEFINE_SPACE: "TPM2_NV_UndefineSpace",
    _NV_DEFINE_SPACE: "TPM2_NV_DefineSpace",
    _CREATE_PRIMARY: "TPM2_CreatePrimary",
    _NV_WRITE: "TPM2_NV_Write",
    _NV_INCREMENT: "TPM2_NV_Increment",
    _ACTIVATE_CREDENTIAL: "TPM2_ActivateCredential",
    _NV_READ: "TPM2_NV_Read",
    _POLICY_SECRET: "TPM2_PolicySecret",
    _SHUTDOWN: "TPM2_Shutdown",
    _QUOTE: "TPM2_Quote",
    _FLUSH_CONTEXT: "TPM2_FlushContext",
    _NV_READ_PUBLIC: "TPM2_NV_ReadPublic",
    _READ_PUBLIC: "TPM2_ReadPublic",
    _START_AUTH_SESSION: "TPM2_StartAuthSession",
    _GET_CAPABILITY: "TPM2_GetCapability",
    _PCR_READ: "TPM2_PCR_Read",
    _PCR_EXTEND: "TPM2_PCR_Extend",
}

_HEADER_BYTES = 10
_CHUNK_BYTES = 512
"""Least NV buffer that every TPM has (PC Client: 1024, older ones 512)."""

_RC_RETRY = struct.pack(">I", 0x922)
_RETRIES = 16
"""A TPM that still has to test an algorithm asks for its first command again (part 2, 6.6)."""

_ALG_NULL = 0x0010
_POLICY_SESSION = 0x01
_NV_OWNER_READ_WRITE = 0x00020002 | 0x00040004 | 0x02000000
"""OWNERWRITE, AUTHWRITE, OWNERREAD, AUTHREAD, NO_DA."""


def sized(data: bytes) -> bytes:
    """A TPM2B: 16-bit length and as many bytes."""
    return struct.pack(">H", len(data)) + data


def select(selection: Mapping[str, Iterable[int]]) -> bytes:
    """A TPML_PCR_SELECTION, banks in the order of ``selection``."""
    lists = []
    for bank, indices in selection.items():
        bits = sum(1 << index for index in set(indices))
        lists.append(struct.pack(">HB", BANKS[bank][0], 3) + bits.to_bytes(3, "little"))
    return struct.pack(">I", len(lists)) + b"".join(lists)


# Policy of the low-range templates: PolicySecret(TPM_RH_ENDORSEMENT), EK profile B.6.2.
_POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
# PolicyB of the high-range templates for SHA-384, EK profile B.6.4.
_POLICY_B_SHA384 = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12"
)
_FIXED_STORAGE = 0x000300B2  # fixedTPM|fixedParent|sensitiveDataOrigin|adminWithPolicy|restr.|decr.
_USER_WITH_AUTH = 0x00000040
_AES128, _AES256 = (struct.pack(">HHH", 0x0006, bits, 0x0043) for bits in (128, 256))
_RSA, _ECC, _P256, _P384 = 0x0001, 0x0023, 0x0003, 0x0004

EK_RSA2048: Final = (
    struct.pack(">HHI", _RSA, 0x000B, _FIXED_STORAGE)
    + sized(_POLICY_A)
    + _AES128
    + struct.pack(">HHI", _ALG_NULL, 2048, 0)
    + sized(bytes(256))
)
"""Template L-1."""

EK_P256: Final = (
    struct.pack(">HHI", _ECC, 0x000B, _FIXED_STORAGE)
    + sized(_POLICY_A)
    + _AES128
    + struct.pack(">HHH", _ALG_NULL, _P256, _ALG_NULL)
    + sized(bytes(32)) * 2
)
"""Template L-2."""

EK_P384: Final = (
    struct.pack(">HHI", _ECC, 0x000C, _FIXED_STORAGE | _USER_WITH_AUTH)
    + sized(_POLICY_B_SHA384)
    + _AES256
    + struct.pack(">HHH", _ALG_NULL, _P384, _ALG_NULL)
    + sized(b"") * 2
)
"""Template H-3."""

# fixedTPM|fixedParent|sensitiveDataOrigin|userWithAuth|noDA|restricted|sign: without noDA a few
# power failures would lock the key (part 1, 19.8).
_SIGNING = 0x00050472

AK_P256: Final = (
    struct.pack(">HHI", _ECC, 0x000B, _SIGNING)
    + sized(b"")
    + struct.pack(">HHHHH", _ALG_NULL, 0x0018, 0x000B, _P256, _ALG_NULL)
    + sized(b"") * 2
)
"""Restricted ECDSA key, P-256 with SHA-256."""

AK_RSA2048: Final = (
    struct.pack(">HHI", _RSA, 0x000B, _SIGNING)
    + sized(b"")
    + struct.pack(">HHHHI", _ALG_NULL, 0x0014, 0x000B, 2048, 0)
    + sized(b"")
)
"""Restricted RSA-2048 key, RSASSA with SHA-256."""


class _Response:
    """A response being read; a TPM that breaks its own format is an error of the TPM."""

    def __init__(self, command: str, data: bytes) -> None:
        self._command, self._data, self._at = command, data, 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise TPMCommandError(command=self._command, detail="its response is cut")
        value, self._at = self._data[self._at : end], end
        return value

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        return self.take(self.number(2))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)


class TPM:
    """A TPM behind ``transmit``; every method is one command, except where it says so.

    Every method raises ``TPMCommandError`` where the TPM refuses or answers no valid response.
    """

    def __init__(self, transmit: Transmit) -> None:
        self._transmit = transmit

    def create_primary(self, hierarchy: int, template: bytes) -> tuple[bytes, int]:
        """TPMT_PUBLIC and transient handle of the key that seed and ``template`` determine."""
        parameters = sized(sized(b"") * 2) + sized(template) + sized(b"") + bytes(4)
        handle, response = self._authorized(_CREATE_PRIMARY, (hierarchy,), parameters, handles=1)
        return response.sized(), handle

    def read_public(self, handle: int) -> tuple[bytes, bytes]:
        """TPMT_PUBLIC and name of a loaded or persistent key."""
        response = self._plain(_READ_PUBLIC, struct.pack(">I", handle))
        return response.sized(), response.sized()

    def quote(
        self, key: int, extra_data: bytes, selection: Mapping[str, Iterable[int]]
    ) -> tuple[bytes, bytes]:
        """TPMS_ATTEST and TPMT_SIGNATURE over PCRs, by the key's own scheme."""
        parameters = sized(extra_data) + struct.pack(">H", _ALG_NULL) + select(selection)
        _, response = self._authorized(_QUOTE, (key,), parameters)
        return response.sized(), response.rest()

    def pcr_read(self, selection: Mapping[str, Iterable[int]]) -> dict[tuple[str, int], bytes]:
        """The values of PCRs that the TPM has, in the selection's order; several commands.

        Between them PCRs can change: compare with a quote.
        """
        values: dict[tuple[str, int], bytes] = {}
        for bank, indices in selection.items():
            missing = set(indices)
            while missing:
                read = self._pcr_read(bank, missing)
                if not read:
                    break  # a bank that is not allocated has no PCRs
                fresh = read.keys() & missing
                if not fresh:  # or it could answer for ever
                    raise TPMCommandError(
                        command=_NAMES[_PCR_READ], detail="it answers for other registers"
                    )
                values |= {(bank, index): read[index] for index in sorted(fresh)}
                missing -= fresh
        return values

    def _pcr_read(self, bank: str, indices: Iterable[int]) -> dict[int, bytes]:
        """What one TPM2_PCR_Read returns: eight values at most."""
        response = self._plain(_PCR_READ, select({bank: indices}))
        response.take(4)
        found: list[int] = []
        for _ in range(response.number(4)):
            if response.number(2) != BANKS[bank][0]:
                raise TPMCommandError(
                    command=_NAMES[_PCR_READ], detail="it answers for another bank"
                )
            bits = int.from_bytes(response.take(response.number(1)), "little")
            found += [index for index in range(24) if bits >> index & 1]
        values = [response.sized() for _ in range(response.number(4))]
        if len(values) != len(found):
            raise TPMCommandError(
                command=_NAMES[_PCR_READ],
                detail=f"{len(values)} values for {len(found)} registers",
            )
        return dict(zip(found, values, strict=True))

    def pcr_extend(self, index: int, digests: Mapping[str, bytes]) -> None:
        """Extends a PCR in every bank of ``digests``."""
        hashes = b"".join(
            struct.pack(">H", BANKS[bank][0]) + digest for bank, digest in digests.items()
        )
        self._authorized(_PCR_EXTEND, (index,), struct.pack(">I", len(digests)) + hashes)

    def nv_size(self, index: int) -> int:
        """The size of an NV index."""
        response = self._plain(_NV_READ_PUBLIC, struct.pack(">I", index))
        return int.from_bytes(response.sized()[-2:], "big")

    def nv_read(self, index: int, *, authority: int | None = None) -> bytes:
        """All of an NV index, as its own authority or a hierarchy's; several commands."""
        size, data = self.nv_size(index), b""
        while len(data) < size:
            parameters = struct.pack(">HH", min(_CHUNK_BYTES, size - len(data)), len(data))
            handles = (index if authority is None else authority, index)
            _, response = self._authorized(_NV_READ, handles, parameters, sessions=1)
            chunk = response.sized()
            if not chunk:
                raise TPMCommandError(command=_NAMES[_NV_READ], detail="it returned nothing")
            data += chunk
        return data

    def nv_write(self, index: int, data: bytes, *, authority: int | None = None) -> None:
        """Writes ``data`` from the start of an NV index, as its own authority or a hierarchy's."""
        for at in range(0, len(data), _CHUNK_BYTES):
            parameters = sized(data[at : at + _CHUNK_BYTES]) + struct.pack(">H", at)
            handles = (index if authority is None else authority, index)
            self._authorized(_NV_WRITE, handles, parameters, sessions=1)

    def nv_define(self, index: int, size: int) -> None:
        """Makes an NV index of ``size`` bytes that its own (empty) authority reads and writes."""
        public = struct.pack(">IHIHH", index, 0x000B, _NV_OWNER_READ_WRITE, 0, size)
        self._authorized(_NV_DEFINE_SPACE, (OWNER,), sized(b"") + sized(public))

    def nv_undefine(self, index: int) -> None:
        """Removes an NV index."""
        self._authorized(_NV_UNDEFINE_SPACE, (OWNER, index), b"", sessions=1)

    def activate_credential(
        self, key: int, endorsement_key: int, id_object: bytes, encrypted_secret: bytes
    ) -> bytes:
        """The secret of a credential that was made for these two keys; several commands.

        ``id_object`` and ``encrypted_secret`` are without the 16-bit lengths of their TPM2Bs.
        """
        password = struct.pack(">IHBH", _PASSWORD_SESSION, 0, 0, 0)
        public, _ = self.read_public(endorsement_key)
        by_policy = not int.from_bytes(public[4:8], "big") & _USER_WITH_AUTH
        session = self._endorsement_session() if by_policy else _PASSWORD_SESSION
        try:
            sessions = password + struct.pack(">IHBH", session, 0, 0, 0)
            body = struct.pack(">III", key, endorsement_key, len(sessions))
            body += sessions + sized(id_object) + sized(encrypted_secret)
            _, response = self._with_sessions(_ACTIVATE_CREDENTIAL, body, handles=0)
        except TPMCommandError:
            if by_policy:
                self.flush(session)  # success ends it, a refusal does not
            raise
        return response.sized()

    def _endorsement_session(self) -> int:
        """A policy session that satisfies PolicyA: whoever holds the endorsement authority."""
        start = struct.pack(">II", _NULL, _NULL) + sized(bytes(16)) + sized(b"")
        start += struct.pack(">BHH", _POLICY_SESSION, _ALG_NULL, BANKS["sha256"][0])
        session = self._plain(_START_AUTH_SESSION, start).number(4)
        parameters = sized(b"") * 3 + bytes(4)
        self._authorized(_POLICY_SECRET, (ENDORSEMENT, session), parameters, sessions=1)
        return session

    def properties(self, first: int, count: int) -> dict[int, int]:
        """TPM properties from ``first`` on, by number (TPM2_GetCapability)."""
        response = self._plain(_GET_CAPABILITY, struct.pack(">III", 6, first, count))
        response.take(5)  # moreData, capability
        return {response.number(4): response.number(4) for _ in range(response.number(4))}

    def shutdown(self) -> None:
        """Prepares for power off: what follows another start is then not taken for an attack."""
        self._plain(_SHUTDOWN, bytes(2))

    def flush(self, handle: int) -> None:
        """Forgets a transient key or session; needed where no resource manager does it."""
        self._plain(_FLUSH_CONTEXT, struct.pack(">I", handle))

    def _plain(self, code: int, body: bytes) -> _Response:
        return _Response(_NAMES[code], self._exchange(_ST_NO_SESSIONS, code, body))

    def _authorized(
        self,
        code: int,
        handles_in: tuple[int, ...],
        parameters: bytes,
        *,
        sessions: int | None = None,
        handles: int = 0,
    ) -> tuple[int, _Response]:
        """A command whose first handles are authorized by empty passwords."""
        count = len(handles_in) if sessions is None else sessions
        password = struct.pack(">IHBH", _PASSWORD_SESSION, 0, 0, 0) * count
        body = struct.pack(f">{len(handles_in)}I", *handles_in)
        body += struct.pack(">I", len(password)) + password + parameters
        return self._with_sessions(code, body, handles=handles)

    def _with_sessions(self, code: int, body: bytes, *, handles: int) -> tuple[int, _Response]:
        response = _Response(_NAMES[code], self._exchange(_ST_SESSIONS, code, body))
        handle = response.number(4) if handles else 0
        return handle, _Response(_NAMES[code], response.take(response.number(4)))

    def _exchange(self, tag: int, code: int, body: bytes) -> bytes:
        """The body of a response whose code is success."""
        name = _NAMES[code]
        command = struct.pack(">HII", tag, _HEADER_BYTES + len(body), code) + body
        response = self._transmit(command)
        for _ in range(_RETRIES):
            if response[6:_HEADER_BYTES] != _RC_RETRY:
                break
            response = self._transmit(command)
        if len(response) < _HEADER_BYTES:
            raise TPMCommandError(command=name, detail="its response is cut")
        found_tag, found_size, result = struct.unpack(">HII", response[:_HEADER_BYTES])
        if result:
            raise TPMCommandError(command=name, detail=f"response code 0x{result:03x}")
        if found_size != len(response) or found_tag != tag:
            raise TPMCommandError(command=name, detail="its response has a wrong header")
        return response[_HEADER_BYTES:]
