# SPDX-License-Identifier: Apache-2.0
"""Event logs are taken apart strictly, and believed only as far as registers prove them."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError, EvidenceMalformedError, LogMismatchError
from accord.evidence.tpm import check_replay, parse_event_log, replay
from accord.evidence.tpm._eventlog import MAX_EVENT_LOG_BYTES
from accord.testing._tpm_boot import Measured, SimulatedBoot, write_event_log

NO_ACTION, SEPARATOR = 3, 4
SPEC = b"Spec ID Event03\0"


def old_event(index: int, kind: int, content: bytes, data: bytes | None = None) -> bytes:
    """An event of TPM 1.2; a note is not hashed."""
    digest = bytes(20) if kind == NO_ACTION else hashlib.sha1(content).digest()  # noqa: S324
    shown = content if data is None else data
    return struct.pack("<II20sI", index, kind, digest, len(shown)) + shown


def agile_event(index: int, kind: int, digests: list[tuple[int, bytes]], data: bytes) -> bytes:
    """An event with tagged digests."""
    body = b"".join(struct.pack("<H", number) + digest for number, digest in digests)
    return (
        struct.pack("<III", index, kind, len(digests)) + body + struct.pack("<I", len(data)) + data
    )


def spec_event(algorithms: list[tuple[int, int]], *, version: tuple[int, int] = (0, 2)) -> bytes:
    """What announces crypto-agile events; ``version`` is minor, major."""
    data = SPEC + struct.pack("<IBBBBI", 0, *version, 0, 2, len(algorithms))
    data += b"".join(struct.pack("<HH", *item) for item in algorithms) + b"\x02vi"
    return struct.pack("<II20sI", 0, NO_ACTION, bytes(20), len(data)) + data


def startup(locality: bytes) -> bytes:
    return old_event(0, NO_ACTION, b"StartupLocality\0" + locality)


SHA256 = [(0x000B, 32)]


def test_an_old_log_has_one_bank() -> None:
    """Without a Spec ID event, entries are those of TPM 1.2."""
    log = parse_event_log(old_event(4, 5, b"action") + old_event(4, 13, b"code", b"name"))

    assert log.banks == ("sha1",)
    assert [(event.index, event.type, event.data) for event in log.events] == [
        (4, 5, b"action"),
        (4, 13, b"name"),
    ]


def test_a_register_is_a_chain_of_its_digests() -> None:
    """Every digest is hashed onto what the register held before, from zeros on."""
    log = parse_event_log(old_event(4, 5, b"one") + old_event(5, 5, b"x") + old_event(4, 5, b"two"))
    value = bytes(20)
    for content in (b"one", b"two"):
        value = hashlib.sha1(value + hashlib.sha1(content).digest()).digest()  # noqa: S324

    assert replay(log, "sha1")[4] == value
    assert sorted(replay(log, "sha1")) == [4, 5]


def test_every_bank_of_a_crypto_agile_log_replays() -> None:
    """A log holds the digests of all banks; each leads to registers of its own."""
    events = SimulatedBoot().events()
    log = parse_event_log(write_event_log(events))

    for bank in ("sha1", "sha256", "sha384"):
        value = bytes(hashlib.new(bank).digest_size)
        for event in events:
            if event.index == 4:
                value = hashlib.new(bank, value + event.digests()[bank]).digest()
        assert replay(log, bank)[4] == value


@pytest.mark.parametrize("locality", [0, 3, 4])
def test_register_0_starts_with_the_locality(locality: int) -> None:
    """Where the CPU started the TPM before the firmware, PCR 0 does not start with zeros."""
    log = parse_event_log(startup(bytes([locality])) + old_event(0, 8, b"firmware"))
    start = bytes(19) + bytes([locality])

    digest = hashlib.sha1(b"firmware").digest()  # noqa: S324

    assert replay(log, "sha1")[0] == hashlib.sha1(start + digest).digest()  # noqa: S324


@pytest.mark.parametrize(
    "data",
    [
        startup(b"\x01"),
        startup(b""),
        startup(b"\x03\x00"),
        startup(b"\x03") + startup(b"\x03"),
        old_event(0, 8, b"firmware") + startup(b"\x03"),
    ],
    ids=["locality 1", "none", "two bytes", "twice", "too late"],
)
def test_a_start_that_cannot_be_is_refused(data: bytes) -> None:
    """Otherwise a log could choose where a register starts."""
    with pytest.raises(EvidenceMalformedError):
        replay(parse_event_log(data), "sha1")


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
@pytest.mark.parametrize("count", [1, 3, 32, 4096])
def test_padding_of_tables_is_left_aside(fill: bytes, count: int) -> None:
    """Firmware gives a log more room than it needs."""
    for data in (write_event_log(SimulatedBoot().events()), old_event(4, SEPARATOR, bytes(4))):
        assert parse_event_log(data + fill * count) == parse_event_log(data)


@pytest.mark.parametrize("tail", [b"\0\xff", b"\1", b"\0" * 40 + b"\1"])
def test_anything_else_after_the_events_is_refused(tail: bytes) -> None:
    """Bytes that are neither event nor padding would be read differently by others."""
    with pytest.raises(EvidenceMalformedError):
        parse_event_log(write_event_log(SimulatedBoot().events()) + tail)


@pytest.mark.parametrize("data", [b"", bytes(100), b"\xff" * 100])
def test_an_empty_log_is_refused(data: bytes) -> None:
    """A table of nothing but padding is no log."""
    with pytest.raises(EvidenceMalformedError, match="is empty"):
        parse_event_log(data)


def test_notes_extend_nothing() -> None:
    """They may even name a register that does not exist."""
    log = parse_event_log(old_event(0xFFFFFFFF, NO_ACTION, b"note") + old_event(1, 5, b"action"))

    assert list(replay(log, "sha1")) == [1]


def refused_logs() -> dict[str, bytes]:
    good, digest = spec_event(SHA256), hashlib.sha256(b"x").digest()
    return {
        "no such register": old_event(24, 5, b"x"),
        "event cut": old_event(4, 5, b"x")[:-1],
        "size of data beyond the end": old_event(4, 5, b"x")[:-5] + struct.pack("<I", 1 << 31),
        "more digests than banks": good + agile_event(4, 5, [(0xB, digest)] * 2, b"x"),
        "two digests of one bank": spec_event([(0xB, 32), (4, 20)])
        + agile_event(4, 5, [(0xB, digest)] * 2, b"x"),
        "a bank that was not declared": good + agile_event(4, 5, [(4, digest[:20])], b"x"),
        "no banks": spec_event([]),
        "thousands of banks": spec_event([(at, 32) for at in range(9)]),
        "a bank twice": spec_event(SHA256 * 2),
        "a bank of another size": spec_event([(0xB, 20)]),
        "a bank without size": spec_event([(0x77, 0)]),
        "a version to come": spec_event(SHA256, version=(0, 3)),
        "vendor information cut": spec_event(SHA256)[:-1],
        "too large": old_event(4, 5, bytes(MAX_EVENT_LOG_BYTES)),
    }


@pytest.mark.parametrize("flaw", refused_logs())
def test_a_malformed_log_is_refused(flaw: str) -> None:
    """Lengths, counts and algorithms must agree."""
    with pytest.raises(EvidenceMalformedError):
        parse_event_log(refused_logs()[flaw])


def test_a_bank_that_cannot_be_replayed_is_refused_when_asked_for() -> None:
    """A log may hold SM3 beside others; only whoever wants that bank is refused."""
    digest = hashlib.sha256(b"x").digest()
    data = spec_event([(0xB, 32), (0x12, 32), (0x77, 5)])
    data += agile_event(4, 5, [(0xB, digest), (0x12, digest), (0x77, b"12345")], b"x")
    log = parse_event_log(data)

    assert log.banks == ("sha256", "sm3_256", "alg_0077")
    assert list(replay(log, "sha256")) == [4]
    for bank, words in (("sm3_256", "not supported"), ("sha384", "has no bank sha384")):
        with pytest.raises(EvidenceMalformedError, match=words):
            replay(log, bank)


@pytest.mark.parametrize("digests", [[], [(4, bytes(20))]])
def test_an_event_without_the_banks_digest_is_refused(digests: list[tuple[int, bytes]]) -> None:
    """It may have been measured all the same; a note needs no digest."""
    data = spec_event([(0xB, 32), (4, 20)]) + agile_event(4, NO_ACTION, digests, b"note")

    assert dict(replay(parse_event_log(data), "sha256")) == {}
    with pytest.raises(EvidenceMalformedError, match="no sha256 digest"):
        replay(parse_event_log(data + agile_event(4, 5, digests, b"x")), "sha256")


def test_registers_that_the_log_does_not_know_prove_nothing_of_it() -> None:
    """Only registers that are both signed and logged are proved."""
    log = parse_event_log(old_event(4, 5, b"a") + old_event(5, 5, b"b"))
    registers = {4: replay(log, "sha1")[4], 10: bytes(20)}

    assert check_replay(log, registers, bank="sha1") == frozenset({4})


def test_a_log_that_leads_elsewhere_is_refused() -> None:
    """The error names the register, and both values."""
    log = parse_event_log(old_event(4, 5, b"a"))

    with pytest.raises(LogMismatchError) as refused:
        check_replay(log, {4: bytes(20)}, bank="sha1")

    assert refused.value.details == {
        "what": "event log",
        "register": "sha1 PCR 4",
        "actual": replay(log, "sha1")[4].hex(),
        "expected": bytes(20).hex(),
    }


EVENTS = st.lists(
    st.builds(Measured, st.integers(0, 23), st.integers(0, 20), st.binary(), st.binary()).filter(
        lambda event: event.type != NO_ACTION
    ),
    min_size=1,
    max_size=6,
)


@given(events=EVENTS, at=st.integers(0, 5), change=st.binary(min_size=1, max_size=3))
def test_a_changed_digest_is_found(events: list[Measured], at: int, change: bytes) -> None:
    """What was measured cannot be told differently."""
    registers = replay(parse_event_log(write_event_log(events)), "sha256")
    event = events[at % len(events)]
    told = Measured(event.index, event.type, event.content + change, event.data)
    log = parse_event_log(write_event_log([*events[: at % len(events)], told]))

    with pytest.raises(LogMismatchError):
        check_replay(log, registers, bank="sha256")


@given(data=st.binary(max_size=200), start=st.sampled_from([b"", spec_event(SHA256)]))
def test_any_bytes_are_a_log_or_refused(data: bytes, start: bytes) -> None:
    """Nothing but errors of the catalogue comes out."""
    try:
        log = parse_event_log(start + data)
        for bank in log.banks:
            replay(log, bank)
    except AccordError:
        return
