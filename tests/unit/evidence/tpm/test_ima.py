# SPDX-License-Identifier: Apache-2.0
"""IMA logs: every template is hashed as the kernel does, and only what a PCR proves is believed."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError, EvidenceMalformedError, LogMismatchError
from accord.evidence.tpm import IMALog, parse_ima_log, replay_ima, replay_until
from accord.evidence.tpm._ima import (
    BOOT_AGGREGATE,
    MAX_IMA_LOG_BYTES,
    IMAEntries,
    check_boot_aggregate,
)

DIGEST = hashlib.sha256(b"content").digest()
HEX = DIGEST.hex()
TEMPLATE = "1" * 40
NG = f"sha256:{HEX}"
BANKS = ("sha1", "sha256", "sha384", "sha512")


def sized(*fields: bytes) -> bytes:
    """Fields as a kernel measures them."""
    return b"".join(struct.pack("<I", len(field)) + field for field in fields)


D_NG, N_NG = b"sha256:\0" + DIGEST, b"/usr/bin/x\0"
SIGNATURE = bytes.fromhex("0302040011223300020abc")[:10]

TEMPLATES = {
    "ima": (f"{HEX[:40]} /usr/bin/x", DIGEST[:20] + b"/usr/bin/x".ljust(256, b"\0")),
    "ima-ng": (f"{NG} /usr/bin/x", sized(D_NG, N_NG)),
    "ima-sig": (f"{NG} /usr/bin/x {SIGNATURE.hex()}", sized(D_NG, N_NG, SIGNATURE)),
    "ima-buf": (f"{NG} /usr/bin/x 6b65", sized(D_NG, N_NG, b"ke")),
    "ima-ngv2": (f"ima:{NG} /usr/bin/x", sized(b"ima:" + D_NG, N_NG)),
    "ima-sigv2": (f"verity:{NG} /usr/bin/x ", sized(b"verity:" + D_NG, N_NG, b"")),
}


def line(template: str, fields: str, *, register: str = "10", digest: str = TEMPLATE) -> bytes:
    return f"{register} {digest} {template} {fields}\n".encode()


def binary(template: str, data: bytes, *, register: int = 10, digest: bytes = b"1" * 20) -> bytes:
    """The same entry in the other form."""
    head = struct.pack("<I", register) + digest + sized(template.encode())
    if template == "ima":
        return head + data[:20] + sized(data[20:].rstrip(b"\0"))
    return head + sized(data)


def ng(*names: str) -> bytes:
    return b"".join(line("ima-ng", f"{NG} {name}") for name in names)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_measured_as_the_kernel_does(template: str) -> None:
    """Both forms of a log say the same."""
    fields, measured = TEMPLATES[template]

    (entry,) = parse_ima_log(line(template, fields)).entries

    assert (entry.measured, entry.name) == (measured, b"/usr/bin/x")
    assert entry.digest == (DIGEST[:20] if template == "ima" else DIGEST)
    assert entry.signature == (SIGNATURE if template == "ima-sig" else b"")
    assert tuple(parse_ima_log(binary(template, measured)).entries) == (entry,)


@pytest.mark.parametrize("end", ["", " "])
def test_a_file_without_signature_has_an_empty_one(end: str) -> None:
    """Some tools cut the space that the kernel leaves at the end of the line."""
    (entry,) = parse_ima_log(line("ima-sig", f"{NG} /usr/bin/x{end}")).entries

    assert entry.measured == sized(D_NG, N_NG, b"")


def test_a_name_may_have_spaces_where_no_field_follows_it() -> None:
    """Old kernels write them as they are."""
    (entry,) = parse_ima_log(line("ima-ng", f"{NG} /a file")).entries

    assert entry.name == b"/a file"


@pytest.mark.parametrize("bank", BANKS)
def test_a_register_is_a_chain_of_template_digests(bank: str) -> None:
    """Computed anew for each bank: the log shows only SHA-1."""
    value = bytes(hashlib.new(bank).digest_size)
    for name in (b"/one\0", b"/two\0"):
        template = hashlib.new(bank, sized(D_NG, name)).digest()
        value = hashlib.new(bank, value + template).digest()

    assert replay_ima(parse_ima_log(ng("/one", "/two")), bank) == value


@pytest.mark.parametrize("bank", BANKS)
def test_a_violation_extends_ones(bank: str) -> None:
    """A file that changed while it was measured is zeros in the log, and 0xFF in the TPM."""
    log = parse_ima_log(line("ima-ng", f"sha256:{'0' * 64} /x", digest="0" * 40))
    size = hashlib.new(bank).digest_size

    assert log.entries[0].violation
    assert replay_ima(log, bank) == hashlib.new(bank, bytes(size) + b"\xff" * size).digest()


def test_nothing_is_believed_of_a_violation() -> None:
    """In neither form: neither the digest nor the signature in the log was measured."""
    fields, measured = TEMPLATES["ima-sig"]
    text = line("ima-sig", fields, digest="0" * 40)

    for data in (text, binary("ima-sig", measured, digest=bytes(20))):
        (entry,) = parse_ima_log(data).entries
        assert (entry.violation, entry.digest, entry.signature) == (True, bytes(32), b"")


def test_entries_are_a_sequence() -> None:
    """One by one, in part, and compared."""
    entries = parse_ima_log(ng("/one", "/two", "/three")).entries

    assert (len(entries), entries[-1].name, entries[1:][0].name) == (3, b"/three", b"/two")
    assert entries[:2] == parse_ima_log(ng("/one", "/two")).entries
    assert len({entries[:1], parse_ima_log(ng("/one")).entries}) == 1
    assert repr(entries) == "<3 IMA entries>"


def test_an_empty_log_replays_to_zeros() -> None:
    """Nothing was measured."""
    assert replay_ima(parse_ima_log(b""), "sha256") == bytes(32)


def test_entries_after_the_quote_are_not_believed() -> None:
    """The kernel goes on measuring while the log is read."""
    value = replay_ima(parse_ima_log(ng("/one", "/two")), "sha256")

    proved = replay_until(parse_ima_log(ng("/one", "/two", "/late")), value, bank="sha256")

    assert [entry.name for entry in proved] == [b"/one", b"/two"]


def test_entries_of_other_registers_are_left_aside() -> None:
    """Policies may send measurements elsewhere."""
    other = line("ima-ng", f"{NG} /other", register="11")
    log = parse_ima_log(ng("/one") + other + ng("/two"))
    value = replay_ima(parse_ima_log(ng("/one", "/two")), "sha256")

    proved = replay_until(log, value, bank="sha256")

    assert [entry.name for entry in proved] == [b"/one", b"/two"]
    assert replay_ima(log, "sha256", register=11) == replay_ima(
        parse_ima_log(ng("/other")), "sha256"
    )


@pytest.mark.parametrize("value", [bytes(32), b"\1" * 32])
def test_a_log_that_never_leads_to_the_quote_is_refused(value: bytes) -> None:
    """Not even zeros: whatever is in such a log was measured elsewhere, or never."""
    with pytest.raises(LogMismatchError) as refused:
        replay_until(parse_ima_log(ng("/one")), value, bank="sha256")

    assert refused.value.details["register"] == "sha256 PCR 10"


def test_an_empty_log_proves_nothing() -> None:
    """It is refused like every other log that does not lead to the quote."""
    with pytest.raises(LogMismatchError, match="gives nothing"):
        replay_until(parse_ima_log(b""), bytes(32), bank="sha256")


@pytest.mark.parametrize("bank", ["sm3_256", "md5"])
def test_other_banks_are_refused(bank: str) -> None:
    """When they are asked for."""
    with pytest.raises(EvidenceMalformedError, match="not supported"):
        replay_ima(parse_ima_log(ng("/one")), bank)


REFUSED = {
    "no such register": (line("ima-ng", f"{NG} /x", register="24"), "24 is not supported"),
    "template of others": (line("ima-modsig", f"{NG} /x 00 00 00"), "ima-modsig is not supported"),
    "template evm-sig": (line("evm-sig", f"{NG} /x"), "evm-sig is not supported"),
    "no fields": (b"10 1111 ima-ng\n", "not those of its template"),
    "template digest": (line("ima-ng", f"{NG} /x", digest="11"), "of 2 hex digits"),
    "algorithm without name": (line("ima-ng", f"{HEX} /x"), "digest algorithm  is not"),
    "algorithm md5": (line("ima-ng", f"md5:{HEX[:32]} /x"), "digest algorithm md5 is not"),
    "algorithm v2 in ng": (line("ima-ng", f"ima:{NG} /x"), "digest algorithm ima:sha256 is not"),
    "algorithm ng in v2": (line("ima-ngv2", f"{NG} /x"), "digest algorithm sha256 is not"),
    "digest too short": (line("ima-ng", f"sha512:{HEX} /x"), "not those of its template"),
    "digest no hex": (line("ima-ng", f"sha256:{'g' * 64} /x"), "not those of its template"),
    "name too long": (line("ima", f"{HEX[:40]} {'x' * 256}"), "not those of its template"),
    "sha256 in ima": (line("ima", f"{HEX} /x"), "not those of its template"),
    "signature no hex": (line("ima-sig", f"{NG} /x zz"), "not those of its template"),
    "fields too many": (line("ima-sig", f"{NG} /x 00 00"), "not those of its template"),
    "empty line": (ng("/x") + b"\n\n", "entry 2: its fields"),
    "binary register": (binary("ima-ng", sized(D_NG, N_NG), register=24), "24 ima-ng is not"),
    "binary template": (binary("evm-sig", sized(D_NG, N_NG)), "10 evm-sig is not"),
    "binary cut": (binary("ima-ng", sized(D_NG, N_NG))[:-1], "cut at byte"),
    "binary fields": (binary("ima-ng", sized(D_NG, N_NG, b"x")), "follow its end"),
    "binary name without end": (binary("ima-ng", sized(D_NG, b"/x")), "not those of its"),
    "binary algorithm": (binary("ima-ng", sized(b"sm3:\0" + DIGEST, N_NG)), "sm3 is not"),
    "binary digest": (binary("ima-ng", sized(D_NG + b"x", N_NG)), "not those of its template"),
    "too large": (b"1" * (MAX_IMA_LOG_BYTES + 1), "larger than"),
}


@pytest.mark.parametrize("flaw", REFUSED)
def test_an_entry_that_nobody_can_hash_is_refused(flaw: str) -> None:
    """By its number, and for its own reason."""
    data, words = REFUSED[flaw]

    with pytest.raises(EvidenceMalformedError) as refused:
        parse_ima_log(data)

    assert words in str(refused.value)


REGISTERS = {index: bytes([index]) * 32 for index in range(10)}


def first(digest: bytes, name: bytes = BOOT_AGGREGATE) -> IMAEntries:
    return IMAEntries.of([(10, False, b"", digest, name, b"")])


@pytest.mark.parametrize("count", [8, 10])
def test_the_boot_aggregate_joins_log_and_boot(count: int) -> None:
    """Kernels from 5.9 on take PCR 8 and 9 too."""
    values = b"".join(REGISTERS[index] for index in range(count))
    quoted = {index: REGISTERS[index] for index in range(count)}
    entries = first(hashlib.sha256(values).digest())

    assert check_boot_aggregate(entries, REGISTERS, bank="sha256")
    assert check_boot_aggregate(entries, quoted, bank="sha256")


def test_a_boot_aggregate_of_another_boot_is_refused() -> None:
    """Files of one machine, firmware of another."""
    with pytest.raises(LogMismatchError, match="boot_aggregate"):
        check_boot_aggregate(first(DIGEST), REGISTERS, bank="sha256")


def test_a_boot_aggregate_that_cannot_be_compared_is_none() -> None:
    """It is of another bank, or not all registers were quoted."""
    some = {index: REGISTERS[index] for index in range(7)}

    assert not check_boot_aggregate(first(bytes(20)), REGISTERS, bank="sha256")
    assert not check_boot_aggregate(first(DIGEST), some, bank="sha256")


@pytest.mark.parametrize("entries", [IMAEntries.of([]), first(DIGEST, b"/x")])
def test_a_log_without_boot_aggregate_is_refused(entries: IMAEntries) -> None:
    """Nothing joins it to a boot."""
    with pytest.raises(EvidenceMalformedError, match="does not start with"):
        check_boot_aggregate(entries, REGISTERS, bank="sha256")


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


@given(names=st.lists(NAMES, min_size=1, max_size=5), at=st.integers(0, 4), other=NAMES)
def test_a_changed_entry_is_found(names: list[str], at: int, other: str) -> None:
    """No entry that the quote covers can be told differently."""
    value = replay_ima(parse_ima_log(ng(*names)), "sha256")
    at %= len(names)
    told = [*names[:at], names[at] + other, *names[at + 1 :]]

    with pytest.raises(LogMismatchError):
        replay_until(parse_ima_log(ng(*told)), value, bank="sha256")


def test_an_entry_that_calls_itself_a_violation_is_found() -> None:
    """Zeros instead of the template digest do not hide what was measured."""
    log = parse_ima_log(ng("/one"))
    told = IMALog(IMAEntries.of(entry._replace(violation=True) for entry in log.entries))

    with pytest.raises(LogMismatchError):
        replay_until(told, replay_ima(log, "sha256"), bank="sha256")


@given(
    data=st.one_of(
        st.binary(max_size=120),
        st.binary(max_size=60).map(lambda tail: b"10 " + b"1" * 40 + b" ima-ng " + tail),
        st.binary(max_size=60).map(lambda tail: b"10 " + b"1" * 40 + b" ima-sig " + tail),
        st.binary(max_size=60).map(lambda tail: struct.pack("<I", 10) + b"1" * 20 + tail),
    )
)
def test_any_bytes_are_a_log_or_refused(data: bytes) -> None:
    """Nothing but errors of the catalogue comes out."""
    try:
        log = parse_ima_log(data)
    except AccordError:
        return
    assert len(replay_ima(log, "sha256")) == 32
