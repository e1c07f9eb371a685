# SPDX-License-Identifier: Apache-2.0
"""An independent verifier, dcap-qvl, judges the same bytes; differences are all explained.

The classes of difference, by their letters, are those of
docs/spec/evidence/intel-differences.md.
"""

import base64
import dataclasses
import itertools
import json
import struct
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accord.errors import EvidenceError
from accord.evidence import Evidence, verify_unbound
from accord.evidence.intel import Collateral
from accord.policy import Family
from accord.testing import _pki, _quote

dcap_qvl = pytest.importorskip("dcap_qvl", reason="SKIPPED: the optional dcap-qvl is not installed")

Verdict = tuple[str, tuple[str, ...]] | None
"""Status and advisories, or None for refused."""


class Case(NamedTuple):
    """What both verifiers are shown."""

    family: Family
    blob: bytes
    collateral: Collateral


def ours(case: Case, anchors: Any, now: Any) -> Verdict:
    evidence = Evidence(case.family, case.blob, case.collateral.to_endorsements())
    try:
        tcb = verify_unbound(evidence, anchors=anchors, now=now).claims.tcb
    except EvidenceError:
        return None
    return None if tcb is None else (tcb.status, tcb.advisories)


def theirs(case: Case, root: bytes, now: Any) -> Verdict:
    try:
        document = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(case.collateral.to_json()))
        report = dcap_qvl.verify_with_root_ca(case.blob, document, root, int(now.timestamp()))
    except ValueError:
        return None
    return report.status, tuple(report.advisory_ids)


@pytest.fixture(scope="module")
def both(generate: Any, maker: Any) -> Callable[..., tuple[Verdict, Verdict]]:
    """Both verdicts about a case: ours, theirs."""
    root = maker.world.certificates.root.public_bytes(Encoding.DER)

    def judge(case: Case, now: Any = generate.NOW) -> tuple[Verdict, Verdict]:
        return ours(case, [maker.world.root], now), theirs(case, root, now)

    return judge


@pytest.fixture(scope="module")
def cases(maker: Any) -> dict[str, Case]:
    """One good case of each format."""
    world, data = maker.world, maker.data
    sgx, tdx = world.collateral(tee=Family.SGX), world.collateral()
    newer = world.quote(data, version=5, td_report="1.5")
    return {
        "sgx": Case(Family.SGX, world.sgx_quote(data), sgx),
        "v4": Case(Family.TDX, world.quote(data), tdx),
        "v5-1.0": Case(Family.TDX, world.quote(data, version=5), tdx),
        "v5-1.5": Case(Family.TDX, newer, tdx),
    }


GOOD: Verdict = ("UpToDate", ())
FORMATS = ("sgx", "v4", "v5-1.0", "v5-1.5")
POLICY_DECIDES = {"sept_ve_enabled", "migratable", "service_td"}
THEY_IGNORE = {"sgx_reserved_attribute_fail"}


@pytest.mark.parametrize("name", FORMATS)
def test_both_accept_every_format(cases: Any, both: Any, name: str) -> None:
    """Simulated evidence is byte for byte what an independent verifier expects."""
    assert both(cases[name]) == (GOOD, GOOD)


def test_both_agree_about_every_vector(generate: Any, maker: Any, both: Any) -> None:
    """Bindings aside, which only we know: A is for policy, E is not looked at by them."""
    for vector in generate.vectors():
        if maker.world.root not in vector.anchors:
            continue
        case = Case(vector.evidence.family, vector.evidence.blob, vector.collateral)
        if vector.name == "sgx_as_tdx_fail":  # they do not ask which family it should be
            continue
        mine, other = both(case, vector.now)
        expected = None if vector.name in POLICY_DECIDES else mine
        expected = GOOD if vector.name in THEY_IGNORE else expected

        assert (vector.name, expected) == (vector.name, other)
        assert (vector.name in POLICY_DECIDES) <= (mine is not None)


def test_status_and_advisories_agree_for_every_module(maker: Any, cases: Any, both: Any) -> None:
    """Old and new TDX modules, started and running, are rated alike."""
    world, svns = maker.world, ((5, 1), (4, 1), (2, 1), (1, 1), (5, 0), (4, 0), (5, 2))
    patches = (1, 2)
    for started, running, patch in itertools.product(svns, svns, patches):
        blob = world.quote(
            maker.data,
            version=5,
            td_report="1.5",
            tee_tcb_svn=bytes((*started, 2, *(0,) * 13)),
            tee_tcb_svn_2=bytes((*running, patch, *(0,) * 13)),
        )
        mine, other = both(cases["v4"]._replace(blob=blob))

        assert (started, running, patch, mine) == (started, running, patch, other)


def root_block(data: bytes, maker: Any) -> range:
    """Where the root lies in a PEM chain that ``data`` holds."""
    root = maker.world.certificates.root.public_bytes(Encoding.PEM)
    at = data.index(root)
    return range(at, at + len(root))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]


@pytest.mark.parametrize("name", FORMATS)
def test_both_refuse_the_same_flipped_bytes_of_a_quote(
    *, maker: Any, cases: Any, both: Any, name: str
) -> None:
    """Outside the unused root (B, C) and one unsigned type (D) the two agree, byte by byte."""
    case = cases[name]
    root, start = root_block(case.blob, maker), len(case.blob) % 11
    body = {"sgx": 384, "v4": 584, "v5-1.0": 590, "v5-1.5": 654}[name]
    outer_type = 48 + body + 4 + 128
    for at in (*range(start, len(case.blob), 11), outer_type, outer_type + 1):
        mine, other = both(case._replace(blob=flipped(case.blob, at)))
        if at in root:
            assert {mine, other} <= {GOOD, None}, at
        elif name != "sgx" and at in {outer_type, outer_type + 1}:
            assert (at, None, GOOD) == (at, mine, other)
        else:
            assert (at, None, None) == (at, mine, other)


TEXTS = ("tcb_info", "tcb_info_issuer_chain", "qe_identity", "qe_identity_issuer_chain")
BYTES = ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature")


@pytest.mark.parametrize("field", [*TEXTS, *BYTES])
@pytest.mark.parametrize("name", ["sgx", "v4"])
def test_both_refuse_the_same_flipped_bytes_of_collateral(
    *, maker: Any, cases: Any, both: Any, name: str, field: str
) -> None:
    """Every byte of the collateral counts for both, but for the unused root (B, C)."""
    case = cases[name]
    value = getattr(case.collateral, field)
    data = value if isinstance(value, bytes) else value.encode()
    root = root_block(data, maker) if field.endswith("_chain") else range(0)
    for at in range(len(data) % 13, len(data), 13):
        changed: Any = flipped(data, at)
        if isinstance(value, str):
            changed = changed.decode("latin-1")
        collateral = dataclasses.replace(case.collateral, **{field: changed})
        mine, other = both(case._replace(collateral=collateral))

        if at in root:
            assert {mine, other} <= {GOOD, None}, at
        else:
            assert (at, None, None) == (at, mine, other)


@pytest.mark.parametrize("bit", range(64))
def test_td_attributes_are_judged_alike_or_left_to_policy(
    *, maker: Any, cases: Any, both: Any, bit: int
) -> None:
    """A: two are for policy to judge; E: bits that we do not know, we refuse."""
    blob = maker.world.quote(maker.data, td_attributes=_quote.SEPT_VE_DISABLE ^ 1 << bit)
    mine, other = both(cases["v4"]._replace(blob=blob))

    if bit in {28, 29}:
        assert (mine, other) == (GOOD, None)
    elif bit in {16, *range(18, 23), 62}:
        assert (mine, other) == (None, GOOD)
    else:
        assert mine == other


@pytest.mark.parametrize("bit", range(64))
def test_sgx_attributes_are_judged_alike_but_for_reserved_ones(
    *, maker: Any, cases: Any, both: Any, bit: int
) -> None:
    """E: reserved bits of an enclave's attributes we refuse, they do not look at them."""
    attributes = (_quote.SGX_FLAGS ^ 1 << bit).to_bytes(16, "little")
    blob = maker.world.sgx_quote(maker.data, attributes=attributes)
    mine, other = both(cases["sgx"]._replace(blob=blob))

    if bit in {3, 8, 9, *range(11, 64)}:
        assert (mine, other) == (None, GOOD)
    else:
        assert mine == other
        assert (bit == 1) == (mine is None)


@pytest.mark.parametrize(
    ("field", "old", "new", "only_they_accept"),
    [
        ("tcb_info", '"UpToDate"', '"Splendid"', False),
        ("tcb_info", '"svn":3', '"svn":4', False),
        ("tcb_info", '"svn":3', '"svn":300', False),
        ("tcb_info", '"pcesvn":11', '"pcesvn":12', False),
        ("tcb_info", '"fmspc":"ACC0', '"fmspc":"ACC1', False),
        ("tcb_info", '"tcbStatus":"UpToDate"', '"tcbStatus":"Revoked"', False),
        ("qe_identity", '"UpToDate"', '"OutOfDate"', False),
        ("qe_identity", '"UpToDate"', '"Revoked"', False),
        ("qe_identity", '"isvsvn":4', '"isvsvn":5', False),
        ("qe_identity", '"miscselect":"00', '"miscselect":"01', False),
        ("qe_identity", '"attributes":"11', '"attributes":"10', False),
        ("qe_identity", 'QE","version":2', 'QVE","version":2', False),
        # F: what Intel signs never says this, and what it would mean is not defined.
        ("tcb_info", '"tcbType":0', '"tcbType":1', True),
        ("qe_identity", '"UpToDate"', '"ConfigurationNeeded"', True),
        # G: a PCE-ID that is another's.
        ("tcb_info", '"pceId":"0000"', '"pceId":"0001"', True),
    ],
)
@pytest.mark.parametrize("name", ["sgx", "v4"])
def test_signed_collateral_is_judged_alike_or_more_strictly(
    *,
    maker: Any,
    cases: Any,
    both: Any,
    name: str,
    field: str,
    old: str,
    new: str,
    only_they_accept: bool,
) -> None:
    """The same vendor's text leads to the same status, unless it is outside the format."""
    case = cases[name]
    collateral = maker.world.sign_again(case.collateral, field, old, new)
    mine, other = both(case._replace(collateral=collateral))

    if only_they_accept:
        assert (mine, other) == (None, GOOD)
    else:
        assert (None if other == ("Revoked", ()) else other) == mine


@pytest.mark.parametrize(
    "status",
    [
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
    ],
)
@pytest.mark.parametrize("qe", ["UpToDate", "OutOfDate"])
def test_every_status_joins_alike(
    *, maker: Any, cases: Any, both: Any, status: str, qe: str
) -> None:
    """Platform and quoting enclave together get one status, the same from both."""
    level = '"pcesvn":11},"tcbDate":"2026-01-14T12:00:00Z","tcbStatus":'
    for case in (cases["sgx"], cases["v4"]):
        again = maker.world.sign_again
        collateral = again(case.collateral, "qe_identity", '"UpToDate"', f'"{qe}"')
        collateral = again(collateral, "tcb_info", f'{level}"UpToDate"', f'{level}"{status}"')
        mine, other = both(case._replace(collateral=collateral))

        assert mine is not None
        assert mine == other


SPELLINGS: dict[str, tuple[Callable[[list[str]], str], bool]] = {
    "without root": (lambda blocks: "".join(blocks[:-1]), True),
    "with CRLF": (lambda blocks: "".join(blocks).replace("\n", "\r\n"), True),
    "with a heading": (lambda blocks: "subject=x\n" + "".join(blocks), True),
    "with text between": ("text\n".join, True),
    "with a zero byte": (lambda blocks: "".join(blocks) + "\0", True),
    # C: order and repetition change nothing for us.
    "root first": (lambda blocks: "".join(reversed(blocks)), False),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["sgx", "v4"])
def test_chains_in_other_spellings_are_read_alike(
    *, maker: Any, cases: Any, both: Any, name: str, spelling: str
) -> None:
    """What vendors' tools make of a chain, both read; we also read it in another order."""
    case = cases[name]
    spell, they_read_it = SPELLINGS[spelling]

    def spelled(pem: str) -> str:
        return spell(["-----BEGIN" + block for block in pem.split("-----BEGIN")[1:]])

    world = maker.world
    chain = spelled(world.pck_chain.decode()).encode()
    certification = _quote.certify(world.pck, world.attestation, chain, tee=case.family)
    quote = case._replace(blob=requoted(maker, case, certification))
    signers = dataclasses.replace(
        case.collateral,
        tcb_info_issuer_chain=spelled(case.collateral.tcb_info_issuer_chain),
        qe_identity_issuer_chain=spelled(case.collateral.qe_identity_issuer_chain),
    )

    expected = GOOD if they_read_it else None
    assert both(quote) == (GOOD, expected)
    assert both(case._replace(collateral=signers)) == (GOOD, expected)


def requoted(maker: Any, case: Case, certification: bytes) -> bytes:
    if case.family is Family.TDX:
        quoted: bytes = maker.world.quote(maker.data, certification=certification)
        return quoted
    return _quote.write_sgx_quote(
        case.blob[48:432], attestation=maker.world.attestation, certification=certification
    )


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["sgx", "v4"])
def test_a_chain_beside_the_quote_serves_both(
    *, maker: Any, cases: Any, both: Any, name: str, kind: int
) -> None:
    """Quotes that only name their PCK certificate verify with the chain beside them."""
    case, world = cases[name], maker.world
    certified = world.certification(case.family)
    at = certified.index(world.pck_chain)
    named = certified[: at - 6] + struct.pack("<HI", kind, 36) + bytes(36)
    if name == "v4":
        named = named[:64] + struct.pack("<HI", 6, len(named) - 70) + named[70:]
    beside = dataclasses.replace(case.collateral, pck_certificate_chain=world.pck_chain.decode())
    bare = case._replace(blob=requoted(maker, case, named))

    assert both(bare._replace(collateral=beside)) == (GOOD, GOOD)
    assert both(bare) == (None, None)


def test_the_chain_in_the_quote_comes_first(maker: Any, cases: Any, both: Any) -> None:
    """H: they prefer the chain beside a quote that has its own; we do not look at it."""
    beside = dataclasses.replace(
        cases["v4"].collateral, pck_certificate_chain=maker.other.pck_chain.decode()
    )

    assert both(cases["v4"]._replace(collateral=beside)) == (GOOD, None)


@pytest.mark.parametrize("chain", ["x", "other"])
def test_the_chain_of_the_revocation_list_is_verified_by_us(
    *, maker: Any, cases: Any, both: Any, chain: str
) -> None:
    """I: they use the CA in the quote, whatever stands there; we also verify what stands there."""
    stranger = maker.other.collateral().pck_crl_issuer_chain
    broken = dataclasses.replace(
        cases["v4"].collateral, pck_crl_issuer_chain="x" if chain == "x" else stranger
    )
    empty = dataclasses.replace(cases["v4"].collateral, pck_crl_issuer_chain="")

    assert both(cases["v4"]._replace(collateral=broken)) == (None, GOOD)
    assert both(cases["v4"]._replace(collateral=empty)) == (GOOD, GOOD)


def test_lists_in_pem_are_read_by_us_alone(cases: Any, both: Any) -> None:
    """J: they want DER."""
    der = cases["v4"].collateral.pck_crl
    body = base64.encodebytes(der)
    pem = b"-----BEGIN X509 CRL-----\n" + body + b"-----END X509 CRL-----\n"
    collateral = dataclasses.replace(cases["v4"].collateral, pck_crl=pem)

    assert both(cases["v4"]._replace(collateral=collateral)) == (GOOD, None)


@pytest.mark.parametrize("tail", [bytes(39), b"text", bytes(3065)])
@pytest.mark.parametrize("name", FORMATS)
def test_both_ignore_what_follows_a_quote(*, cases: Any, both: Any, name: str, tail: bytes) -> None:
    """Padding of any kind is no part of what is claimed."""
    case = cases[name]

    assert both(case._replace(blob=case.blob + tail)) == (GOOD, GOOD)


@pytest.mark.parametrize("inner", [b"\0\0", b"\0\1"])
def test_padding_inside_the_signature_data(cases: Any, both: Any, inner: bytes) -> None:
    """K: where zeros are padding for both, other bytes are for them alone."""
    case = cases["sgx"]
    size = len(case.blob) - 436 + len(inner)
    blob = case.blob[:432] + struct.pack("<I", size) + case.blob[436:] + inner

    assert both(case._replace(blob=blob)) == (None if any(inner) else GOOD, GOOD)


@pytest.mark.parametrize("name", ["sgx", "v4"])
@pytest.mark.parametrize("second", [-1, 0, 1])
@pytest.mark.parametrize("end", ["start", "end"])
def test_periods_end_at_the_same_second(
    *, generate: Any, cases: Any, both: Any, name: str, second: int, end: str
) -> None:
    """From the first second on for both; in the last one (L) for us alone."""
    edge = generate.ISSUED + (_pki.COLLATERAL_VALIDITY if end == "end" else timedelta())
    mine, other = both(cases[name], edge + timedelta(seconds=second))
    inside = second <= 0 if end == "end" else second >= 0
    last = (end, second) == ("end", 0)

    assert (GOOD if inside else None) == mine
    assert (None if last else mine) == other


def test_a_revoked_platform_is_refused_by_both(maker: Any, cases: Any, both: Any) -> None:
    """Both look into the list of the PCK CA, and into the root's."""
    chain = maker.world.certificates
    pck = x509.load_pem_x509_certificate(maker.world.pck_chain).serial_number
    for case in (cases["sgx"], cases["v4"]):
        revoked = maker.world.collateral(tee=case.family, revoked=(pck,))
        assert both(case._replace(collateral=revoked)) == (None, None)
        root_list = _pki._revocation_list(
            chain.root,
            maker.world.keys.root,
            (chain.pck_ca.serial_number,),
            chain.root.not_valid_before_utc,
            chain.root.not_valid_before_utc + _pki.COLLATERAL_VALIDITY,
        )
        no_ca = dataclasses.replace(case.collateral, root_ca_crl=root_list)
        assert both(case._replace(collateral=no_ca)) == (None, None)


@pytest.mark.parametrize("field", ["tcb_info", "qe_identity"])
@pytest.mark.parametrize("name", ["sgx", "v4"])
def test_a_platform_that_rates_itself_is_refused_by_us(
    *, maker: Any, cases: Any, both: Any, name: str, field: str
) -> None:
    """M: they do not ask which role a signer has; we do, also where they are our engine."""
    case, world = cases[name], maker.world
    text = getattr(case.collateral, field)
    stolen = dataclasses.replace(
        case.collateral,
        **{
            f"{field}_signature": _pki.raw_signature(world.pck, text.encode()),
            f"{field}_issuer_chain": world.pck_chain.decode(),
        },
    )

    assert both(case._replace(collateral=stolen)) == (None, GOOD)
