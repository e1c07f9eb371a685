# SPDX-License-Identifier: Apache-2.0
"""Event logs of real machines, and IMA logs of a real kernel.

Expected register values of the event logs are those that their project's tests publish.
"""

import hashlib

import pytest
from tests.support.recorded import EVIDENCE, index, needs_evidence

from accord.errors import EvidenceMalformedError, LogMismatchError
from accord.evidence.tpm._bootfacts import RTMRS, boot_facts
from accord.evidence.tpm._eventlog import EventLog, check_replay, parse_event_log, replay
from accord.evidence.tpm._ima import parse_ima_log, replay_ima, replay_until

pytestmark = needs_evidence

_GO, _KEYLIME = "tpm/go-attestation/", "tpm/keylime/"

COVERS = {
    f"{_GO}crypto_agile_eventlog": "replays; secure boot is off",
    f"{_GO}ebs_event_missing_eventlog": "refused: PCR 5 has events that the log lacks",
    f"{_GO}sb_cert_eventlog": "replays to its PCRs; secure boot is on",
    f"{_GO}short_no_action_eventlog": "parses, but measures nothing",
    f"{_GO}ubuntu_2104_shielded_vm_no_secure_boot_eventlog": "replays; secure boot is off",
    f"{_KEYLIME}ima-log-sha1": "replays",
    f"{_KEYLIME}ima-log-sha256": "replays",
    f"{_KEYLIME}ima-log-sha384": "replays",
    f"{_KEYLIME}ima-log-sha512": "replays",
    f"{_KEYLIME}ima-log-sm3_256": "refused: a digest algorithm that is not supported",
    f"{_KEYLIME}ima-log-unknown": "refused: a digest algorithm that nobody knows",
}
"""What each recorded file is, and the outcome it must have."""

SB_CERT_SHA1 = {
    0: bytes.fromhex("51c323de0c0c694f4601cdd02beb58ff13629f74"),
    4: bytes.fromhex("b771008d173c022bc16f4b4d1a7f8b99ed88eeb1"),
    7: bytes.fromhex("45a8621d34a57df2b2e7f14c92b99ac8de7d5805"),
}
EBS_PCR_5 = {
    "sha1": bytes.fromhex("31245808d6d35849bc394f6343f2b3ff908ed5e3"),
}


def log_of(name: str) -> EventLog:
    return parse_event_log((EVIDENCE / name).read_bytes())


def test_every_recorded_log_is_used_here() -> None:
    """Nothing that was recorded is forgotten."""
    folders = [name for name in index() if name.startswith((_GO, _KEYLIME))]

    assert set(COVERS) == {name for name in folders if "log" in name.rpartition("/")[2]}


def test_a_crypto_agile_log_replays_to_what_all_machines_share() -> None:
    """PCR 2, 3 and 6 hold nothing but a separator, a value that is the same everywhere."""
    registers = replay(log_of(f"{_GO}crypto_agile_eventlog"), "sha256")

    separator_alone = bytes.fromhex(
        "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969"
    )
    assert [registers[at] for at in (2, 3, 6)] == [separator_alone] * 3


def test_secure_boot_that_does_not_exist_is_off() -> None:
    """That machine measures a variable SecureBoot without contents."""
    log = log_of(f"{_GO}crypto_agile_eventlog")

    facts = boot_facts(log, bank="sha256", proved=replay(log, "sha256").keys())

    assert facts.secure_boot is False
    assert [item.name for item in facts.components] == ["", "\\EFI\\centosgrubx64.efi"]


def test_a_log_with_an_old_shim_replays_to_its_registers() -> None:
    """The events of that shim have a byte too many, which no digest covers."""
    log = log_of(f"{_GO}sb_cert_eventlog")

    proved = check_replay(log, SB_CERT_SHA1, bank="sha1")
    facts = boot_facts(log, bank="sha1", proved=proved)

    assert (proved, facts.secure_boot) == (frozenset({0, 4, 7}), True)
    assert sorted(facts.keys) == ["db", "dbx", "kek", "pk"]
    assert facts.components[0].name == "\\EFI\\BOOT\\BOOTX64.EFI"


def test_a_log_of_grub_names_all_that_it_loaded_and_did() -> None:
    """Files, the kernel's command line, and every command: some could write to memory."""
    log = log_of(f"{_GO}ubuntu_2104_shielded_vm_no_secure_boot_eventlog")

    facts = boot_facts(log, bank="sha384", proved=replay(log, "sha384").keys())
    names = [item.name for item in facts.components]

    assert facts.secure_boot is False
    assert [name for name in names if not name.startswith("grub_cmd: ")] == [
        "\\EFI\\ubuntu\\shimx64.efi",
        "\\EFI\\ubuntu\\grubx64.efi",
        "(hd0,gpt15)/EFI/ubuntu/grub.cfg",
        "(hd0,gpt1)/boot/grub/x86_64-efi/command.lst",
        "(hd0,gpt1)/boot/grub/x86_64-efi/fs.lst",
        "(hd0,gpt1)/boot/grub/x86_64-efi/crypto.lst",
        "(hd0,gpt1)/boot/grub/x86_64-efi/terminal.lst",
        "(hd0,gpt1)/boot/grub/grub.cfg",
        "(hd0,gpt1)/boot/grub/grubenv",
        "(hd0,gpt1)/boot/grub/grubenv",
        "/boot/vmlinuz-5.11.0-1006-gcp",
        "kernel_cmdline",
    ]
    assert len(names) == 78


def test_a_log_without_the_end_of_boot_services_is_not_the_machines() -> None:
    """Its PCR 5 was extended by events that the log lacks: it was read too early, or cut."""
    log = log_of(f"{_GO}ebs_event_missing_eventlog")

    with pytest.raises(LogMismatchError) as refused:
        check_replay(log, {5: EBS_PCR_5["sha1"]}, bank="sha1")
    assert refused.value.details["register"] == "sha1 PCR 5"
    with pytest.raises(EvidenceMalformedError, match="Exit Boot Services"):
        boot_facts(log, bank="sha1", proved=replay(log, "sha1").keys())


def test_a_log_of_one_note_proves_nothing() -> None:
    """It says at which locality the TPM was started, and nothing else."""
    log = log_of(f"{_GO}short_no_action_eventlog")

    assert replay(log, "sha1") == {0: bytes(19) + b"\x03"}
    with pytest.raises(EvidenceMalformedError, match="measures nothing"):
        boot_facts(log, bank="sha1", proved=range(24))


def test_a_confidential_vms_log_replays_to_its_quote() -> None:
    """RTMR0 to RTMR2 of a TDX guest at Google, from a table with 240 KiB of padding."""
    log = log_of("tdx/go-tdx-guest/ccel_data.dat")
    quote = (EVIDENCE / "tdx/go-tdx-guest/cos-113-tdx-quote.dat").read_bytes()
    rtmrs = {1 + at: quote[376 + 48 * at :][:48] for at in range(4)}

    proved = check_replay(log, rtmrs, bank="sha384", name="CCEL register {}")
    facts = boot_facts(log, bank="sha384", proved=proved, layout=RTMRS)

    assert (proved, facts.secure_boot) == (frozenset({1, 2, 3}), False)
    assert facts.components[-2].name == "/syslinux/vmlinuz.A"


@pytest.mark.parametrize(
    ("name", "digest_bytes"),
    [("ima-log-sha1", 20), ("ima-log-sha256", 32), ("ima-log-sha384", 48), ("ima-log-sha512", 64)],
)
def test_ima_logs_replay_in_every_bank(name: str, digest_bytes: int) -> None:
    """Entries are proved by PCR 10 of whichever bank, whatever the files were hashed with."""
    log = parse_ima_log((EVIDENCE / f"{_KEYLIME}{name}").read_bytes())

    for bank in ("sha1", "sha256", "sha384", "sha512"):
        proved = replay_until(log, replay_ima(log, bank), bank=bank)
        assert [entry.name for entry in proved] == [b"boot_aggregate", b"/data"]
        assert [len(entry.digest) for entry in proved] == [digest_bytes] * 2


def test_the_template_digests_of_a_kernel_are_ours() -> None:
    """What the kernel wrote into its log is the SHA-1 of what we say it measured."""
    data = (EVIDENCE / f"{_KEYLIME}ima-log-sha256").read_bytes()

    ours = [hashlib.sha1(item.measured).hexdigest() for item in parse_ima_log(data).entries]  # noqa: S324

    assert ours == [line.split()[1].decode() for line in data.splitlines()]


@pytest.mark.parametrize("name", ["ima-log-sm3_256", "ima-log-unknown"])
def test_digests_that_nobody_can_compare_are_refused_by_name(name: str) -> None:
    """A file whose digest cannot be compared is not passed over."""
    with pytest.raises(EvidenceMalformedError) as refused:
        parse_ima_log((EVIDENCE / f"{_KEYLIME}{name}").read_bytes())

    algorithm = name.removeprefix("ima-log-")
    assert str(refused.value.details["detail"]) == (
        f"entry 1: digest algorithm {algorithm} is not supported"
    )
