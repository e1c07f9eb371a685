# SPDX-License-Identifier: Apache-2.0
"""Lint of services: where they may run, what they may reach, how secrets get to them."""

from __future__ import annotations

from collections.abc import Iterator

from accord.encoding import format_time
from accord.policy._attestation import AttestationVariant
from accord.policy._document import Policy
from accord.policy._finding import Finding, note, warning
from accord.policy._live import UpdateMode
from accord.policy._secrets import SecretKind
from accord.policy._service import Channel, Network, Service
from accord.policy._templates import names_in
from accord.policy._terms import visible
from accord.policy.families import FAMILIES, Family

_USUAL_TCB = frozenset({"SWHardeningNeeded"})
"""What most platforms are that somebody cares for: programs have mitigations of their own."""

_DEBUG_BITS = {(Family.SGX, "attributes"): 0x02, (Family.TDX, "td_attributes"): 0x01}
"""Bit of the first byte: SGX ATTRIBUTES.DEBUG, TDX ATTRIBUTES.TUD.DEBUG."""


def lint_service(policy: Policy, service: Service, where: str) -> Iterator[Finding]:
    """All findings about one service, at the path ``where``."""
    yield from _lint_reach(policy, service, where)
    yield from _lint_templates(service, where)
    for index, variant in enumerate(service.attestation):
        place = f"{where}.attestation[{index}]"
        yield from _lint_variant(variant, place)
        for name, part in variant.parts.items():
            yield from _lint_variant(part, f"{place}.parts.{name}")


def _lint_reach(policy: Policy, service: Service, where: str) -> Iterator[Finding]:
    is_open = service.network is Network.OPEN
    if is_open:
        yield warning(
            "network-open",
            f"{where}.network",
            "nothing keeps the program from sending what it reads to anybody",
            "say `network: none`, unless every owner trusts the program as much as themselves",
        )
    named = {item.name for _, text in service.templates() for item in names_in(text)}
    others = sorted(
        name
        for name in named & policy.secrets.keys()
        if policy.secrets[name].kind in (SecretKind.ASSET, SecretKind.IMPORT)
    )
    if service.lease_s is None and (is_open or others):
        what = f"secrets of others ({', '.join(others)})" if others else "an open network"
        yield warning(
            "no-lease",
            f"{where}.lease_s",
            f"it has {what}, and a stop by a member reaches it only when it ends",
            "say `lease_s`: it then shows fresh evidence again and again, or is ended",
        )
    if service.channel is Channel.L0:
        yield warning(
            "channel-open",
            f"{where}.channel",
            "guests of the Key Broker protocol may ask, whose evidence names no policy",
            "leave `channel` out, unless such guests are meant",
        )
    for mount in service.volumes:
        if policy.volumes[mount.volume].update is UpdateMode.UNPROTECTED:
            yield note(
                "volume-unprotected",
                f"policy.volumes.{mount.volume}",
                "after an unclean exit it goes on from the last tag, and nobody is asked",
                "leave `update` out: members then accept a tag first",
            )
    if service.identity and "identity" not in named:
        yield note(
            "identity-unused",
            f"{where}.identity",
            "it gets a certificate, and no template hands it to the program",
            "write {{ accord.identity:crt }} and {{ accord.identity:privatekey }} into files",
        )


def _lint_templates(service: Service, where: str) -> Iterator[Finding]:
    for place, text in service.templates():
        here = f"{where}.{visible(place)}"
        for reference in names_in(text):
            if place.startswith("command"):
                yield warning(
                    "secret-in-command",
                    here,
                    f"every process of the service can see {reference.name} in /proc",
                    "write the secret into a file, and its path into the command",
                )
            if reference.name == service.totp:
                yield warning(
                    "shared-second-factor",
                    here,
                    f"the program is given {reference.name}, with which passwords are made",
                    "use another secret: whoever has this one no longer needs the person",
                )


def _lint_variant(variant: AttestationVariant, where: str) -> Iterator[Finding]:
    if variant.simulated:
        yield warning(
            "simulated",
            f"{where}.simulated",
            "evidence under a TEST ROOT is admitted: it protects nothing from the host",
            "leave `simulated` out before real data is used",
        )
    yield from _lint_tcb(variant, where)
    yield from _lint_measurements(variant, where)
    for name, safe in FAMILIES[variant.family].defaults.items():
        listed = variant.attributes.get(name, safe)
        if not set(listed) <= set(safe):
            yield warning(
                "weakened",
                f"{where}.attributes.{name}",
                f"{name} may be other than {' or '.join(map(str, safe)).lower()}",
                "leave it out: the safe value is then demanded",
            )


def _lint_tcb(variant: AttestationVariant, where: str) -> Iterator[Finding]:
    tolerated = set(variant.tcb_statuses) - {"UpToDate"}
    for make, statuses in ((warning, tolerated - _USUAL_TCB), (note, tolerated & _USUAL_TCB)):
        if statuses:
            yield make(
                "tcb-tolerated",
                f"{where}.tcb_statuses",
                f"platforms of status {', '.join(sorted(statuses))} are admitted for ever",
                "put it under `tcb_grace` with the day by which it must be mended",
            )
    for status, until in variant.tcb_grace.items():
        yield note(
            "tcb-grace",
            f"{where}.tcb_grace",
            f"platforms of status {status} are admitted until {format_time(until)}",
            "check that the platform is mended by then",
        )


def _lint_measurements(variant: AttestationVariant, where: str) -> Iterator[Finding]:
    named = {*variant.measurements, *variant.attributes}
    if variant.family is Family.TDX and not variant.simulated:
        beyond = {"rtmr1", "rtmr2"} & named or variant.components
        if "mrtd" in named and not beyond:
            yield warning(
                "firmware-alone",
                f"{where}.measurements",
                "mrtd is the firmware alone: it may start any kernel and any program",
                "name rtmr1 and rtmr2 too; `accord refvalue measure tdx` computes them",
            )
    if "mrsigner" in named and "mrenclave" not in named:
        yield note(
            "signer-alone",
            f"{where}.measurements",
            "whatever this signer signs, now or later, is admitted",
            "name mrenclave, unless the signer may change the program",
        )
    for name, values in variant.measurements.items():
        bit = _DEBUG_BITS.get((variant.family, name), 0)
        if any(value[0] & bit for value in values):
            yield warning(
                "debug",
                f"{where}.measurements.{name}",
                "a value has the DEBUG bit, and debug environments are never admitted",
                "measure the production build",
            )
        names_code = any(name in names for names in FAMILIES[variant.family].required)
        if names_code and not all(map(any, values)) and not variant.simulated:
            yield warning(
                "zeros",
                f"{where}.measurements.{name}",
                "a value is all zeros: what nobody measured, and what debug modes show",
                "name what the environment measures when nothing is amiss",
            )
