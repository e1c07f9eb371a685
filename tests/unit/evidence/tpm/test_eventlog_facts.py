# SPDX-License-Identifier: Apache-2.0
"""What a replayed log proves of a boot, and what whoever writes the log cannot make it say."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError, EnvironmentRefusedError, EvidenceMalformedError
from accord.evidence.tpm import BootFacts, boot_facts, parse_event_log
from accord.evidence.tpm._bootfacts import PCRS as FIRMWARE
from accord.evidence.tpm._bootfacts import RTMRS, Layout
from accord.testing._tpm_boot import Measured, SimulatedBoot, write_event_log

ACTION, IPL, NOTE, SEPARATOR, VARIABLE = 0x80000007, 0xD, 3, 4, 0x80000001
BOOT = SimulatedBoot()
EVENTS = BOOT.events()
ALL = range(24)


def facts(
    events: Sequence[Measured], *, proved: Sequence[int] = ALL, layout: Layout = FIRMWARE
) -> BootFacts:
    log = parse_event_log(write_event_log(events))
    return boot_facts(log, bank="sha256", proved=proved, layout=layout)


def variables(*, on: bool) -> list[Measured]:
    """What firmware measures of secure boot."""
    return [event for event in SimulatedBoot(secure_boot=on).events() if event.type == VARIABLE]


TABLE = b"EFI PART" + bytes.fromhex("000001005c000000") + bytes(76) + b"\1" + bytes(7 + 128)
"""A partition table of one entry, as firmware measures it."""


def separator(index: int = 7, *, content: bytes = bytes(4), kind: int = SEPARATOR) -> Measured:
    return Measured(index, kind, content, content)


def test_a_boot_is_told() -> None:
    """Secure boot, the contents of its keys, and all that was loaded."""
    found = facts(EVENTS)

    assert found.secure_boot is True
    assert found.keys == {
        name.lower(): hashlib.sha256(content).digest() for name, content in BOOT.keys.items()
    }
    assert [(item.kind, item.name, item.digest) for item in found.components] == [
        ("boot", name, hashlib.sha256(content).digest())
        for name, content in (
            ("\\EFI\\BOOT\\BOOTX64.EFI", BOOT.boot_loader),
            ("/boot/vmlinuz", BOOT.kernel),
            ("/boot/initrd", BOOT.initrd),
            ("kernel_cmdline", BOOT.command_line.encode()),
        )
    ]


def test_other_events_of_the_policy_register_are_no_variables() -> None:
    """Firmware notes there that protection against devices is off, for instance."""
    text = b"DMA Protection Disabled"
    events = [Measured(7, ACTION, text, text), *variables(on=True), separator()]

    assert facts(events).secure_boot is True


def test_secure_boot_that_is_off_is_told() -> None:
    """Off is a fact as well."""
    assert facts(SimulatedBoot(secure_boot=False).events()).secure_boot is False


def test_what_no_register_proves_is_not_told() -> None:
    """Without PCR 7 nothing is known of secure boot, without the others nothing of code."""
    assert facts(EVENTS, proved=[0, 1]) == BootFacts(secure_boot=None)


def test_secure_boot_that_a_program_measured_later_is_not_believed() -> None:
    """Everybody can extend PCR 7 after the firmware handed over."""
    events = [*variables(on=False)[1:], separator(), *variables(on=True)]

    assert facts(events).secure_boot is None


def test_a_separator_that_is_called_something_else_still_ends_the_firmwares_word() -> None:
    """Types are not measured: whoever relabels the true events gains nothing."""
    off, on = variables(on=False), variables(on=True)
    hidden = [replace(off[0], type=IPL, data=b"?"), *off[1:], separator(kind=IPL)]

    assert facts([*hidden, *on[:1]]).secure_boot is None
    with pytest.raises(EvidenceMalformedError, match="2 separators"):
        facts([*hidden, *on[:1], separator()])


def test_data_that_are_not_what_was_hashed_are_not_believed() -> None:
    """The log says that secure boot is on; the digest is of a variable that says off."""
    off, on = variables(on=False), variables(on=True)

    found = facts([replace(off[0], data=on[0].data), *off[1:], separator()])

    assert (found.secure_boot, sorted(found.keys)) == (None, ["db", "dbx", "kek", "pk"])


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_secure_boot_without_keys_is_refused(missing: int) -> None:
    """Platform key, exchange keys and database are what it consists of."""
    events = variables(on=True)

    with pytest.raises(EvidenceMalformedError, match="has no keys"):
        facts([*events[:missing], *events[missing + 1 :], separator()])


def test_two_words_on_secure_boot_are_refused() -> None:
    """Firmware measures each variable once."""
    with pytest.raises(EvidenceMalformedError, match="SecureBoot comes twice"):
        facts([*variables(on=False)[:1], *variables(on=True), separator()])


def test_secure_boot_that_is_neither_on_nor_off_is_refused() -> None:
    """There are two values, and a variable that does not exist."""
    events = SimulatedBoot().events()
    at = next(n for n, event in enumerate(events) if event.type == VARIABLE)
    odd = events[at].data[:-1] + b"\x02"

    with pytest.raises(EvidenceMalformedError, match="SecureBoot is 02"):
        facts([replace(events[at], content=odd, data=odd), separator()])


def test_policy_events_without_separator_are_refused() -> None:
    """The firmware may not have handed over yet, or the log is cut."""
    with pytest.raises(EvidenceMalformedError, match="0 separators"):
        facts(variables(on=True))


def test_a_firmware_error_is_refused() -> None:
    """Firmware ends with another separator where it failed."""
    failed = separator(content=bytes((1, 0, 0, 0)))

    with pytest.raises(EvidenceMalformedError, match="reports an error"):
        facts([*variables(on=True), failed, separator()])


def test_a_firmware_debugger_is_refused() -> None:
    """It can do whatever the firmware can, whatever type its event has."""
    text = b"UEFI Debug Mode"

    with pytest.raises(EnvironmentRefusedError):
        facts([Measured(7, IPL, text, b"harmless"), *variables(on=True), separator()])


def test_a_boot_option_that_never_left_the_firmware_is_refused() -> None:
    """Firmware that tells when it calls one tells when it is left."""
    with pytest.raises(EvidenceMalformedError, match="Exit Boot Services"):
        facts(EVENTS[:-1])


def test_code_cannot_hide_behind_a_type() -> None:
    """Every event in a register of code is a component, unless its data prove it harmless."""
    code = b"MZ a program, as it was hashed"
    hiding = [
        Measured(4, SEPARATOR, code, bytes(4)),
        Measured(4, ACTION, code, b"Calling EFI Application from Boot Option"),
        Measured(4, ACTION, code, code),
        Measured(9, IPL, code, b"grub_cmd: echo\0"),
        Measured(8, IPL, b"write_byte 1 1", b"grub_cmd: write_byte 1 1\0"),
        Measured(4, 0x80000006, code, b"EFI PART"),
        Measured(9, IPL, b"EFI PART\nconfigfile /evil", b"EFI PART\nconfigfile /evil"),
        Measured(4, 0x80000006, TABLE, TABLE),
    ]

    found = facts([*EVENTS, *hiding])

    assert [item.digest for item in found.components[4:]] == [
        hashlib.sha256(event.content).digest() for event in hiding
    ]


def test_a_uefi_driver_is_code() -> None:
    """PCR 2 holds what options and drivers load, before any boot loader; PCR 12 and 13 more."""
    hiding = [Measured(index, 0x80000004, b"evil", b"\\evil.efi") for index in (2, 12, 13)]

    found = facts([*EVENTS, *hiding])

    assert [item.digest for item in found.components[4:]] == [hashlib.sha256(b"evil").digest()] * 3


def test_what_provably_loads_nothing_is_no_component() -> None:
    """Separators and announcements."""
    harmless = [
        Measured(4, 0, b"Returning from EFI Application from Boot Option", b"?"),
        separator(4),
    ]

    assert facts([*EVENTS, *harmless]).components == facts(EVENTS).components


@pytest.mark.parametrize(
    ("register", "data", "hidden"),
    [
        (2, TABLE, True),
        (3, TABLE, False),
        (2, TABLE + b"x", False),
        (2, b"EFI PART\nconfigfile /evil", False),
    ],
)
def test_only_a_whole_partition_table_is_no_code(
    register: int, data: bytes, *, hidden: bool
) -> None:
    """RTMR1 holds PCR 5 too, which has them; RTMR2 has none, and a file only starts so."""
    events = [separator(1), Measured(register, 0x80000006, data, data)]

    assert (facts(events, layout=RTMRS).components == ()) is hidden


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"(hd0,gpt1)/vmlinuz\0", "(hd0,gpt1)/vmlinuz"),
        (b"grub_cmd: menuentry one {\n\tboot\n}\0", "grub_cmd: menuentry one { boot }"),
        (".linux".encode("utf-16-le") + b"\0\0", ".linux"),
        (b"\xff\xfe\xff", ""),
        (b"x" * 300, "x" * 256),
        (b"", ""),
        (bytes(24) + (4).to_bytes(8, "little") + b"\x04\x04\x00\x00", ""),
        (bytes(24) + (6).to_bytes(8, "little") + b"\x04\x04\x06\x00\x00\xd8", ""),
    ],
)
def test_names_are_hints(data: bytes, name: str) -> None:
    """Whatever the log says, within limits: nothing proves it."""
    found = facts([Measured(9, IPL, b"code", data)], proved=[9])

    assert [item.name for item in found.components] == [name]


def test_a_confidential_vm_has_its_own_registers() -> None:
    """Secure boot is in RTMR0 (register 1), beside other separators; code in RTMR1 and RTMR2."""
    moved = [
        replace(event, index={7: 1, 0: 1, 4: 2, 5: 2, 8: 3, 9: 3}[event.index])
        for event in EVENTS
        if event.index in {0, 4, 5, 7, 8, 9}
    ]

    found = facts(moved, proved=[1, 2, 3], layout=RTMRS)

    assert (found.secure_boot, found.components) == (True, facts(EVENTS).components)


def test_a_log_of_notes_measures_nothing() -> None:
    """It could be of any machine."""
    log = parse_event_log(write_event_log([Measured(0, NOTE, b"", b"note")]))

    with pytest.raises(EvidenceMalformedError, match="measures nothing"):
        boot_facts(log, bank="sha256", proved=ALL)


@pytest.mark.parametrize("bank", ["sha512", "sm3_256", "md5"])
def test_facts_are_of_a_bank_that_the_log_has(bank: str) -> None:
    """A digest of another bank proves nothing of this one."""
    log = parse_event_log(write_event_log(EVENTS))

    with pytest.raises(EvidenceMalformedError, match="no full bank"):
        boot_facts(log, bank=bank, proved=ALL)


MEASURED = st.builds(
    Measured,
    st.sampled_from([4, 7, 8, 9]),
    st.sampled_from([ACTION, IPL, SEPARATOR, VARIABLE]),
    st.binary(max_size=40),
    st.binary(max_size=60),
)


@given(events=st.lists(MEASURED, max_size=4), order=st.randoms(use_true_random=False))
def test_any_events_are_told_or_refused(events: list[Measured], order: object) -> None:
    """Nothing but errors of the catalogue comes out."""
    mixed = [*EVENTS, *events]
    order.shuffle(mixed)  # type: ignore[attr-defined]
    try:
        facts(mixed)
    except AccordError:
        return
