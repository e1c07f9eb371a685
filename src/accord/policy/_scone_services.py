# SPDX-License-Identifier: Apache-2.0
"""Services and images of a SCONE session, as services of a policy."""

from __future__ import annotations

import re
from collections.abc import Mapping

from accord.encoding import JSONValue
from accord.policy._scone_source import (
    Source,
    converted_name,
    converted_text,
    referenced_name,
    shown,
)

MAX_SVN = 64
"""Longest range of security version numbers that is written out."""

MAX_MODE = 0o777
_OCTAL = re.compile(r"(?:0o)?[0-7]{1,6}")

_TOLERATED: Mapping[str, tuple[str, ...]] = {
    "software-hardening-needed": ("SWHardeningNeeded",),
    "insecure-configuration": ("ConfigurationNeeded",),
    "hyperthreading": ("ConfigurationNeeded",),
    "outdated-tcb": ("OutOfDate",),
}
_TOGETHER = {
    ("SWHardeningNeeded", "ConfigurationNeeded"): "ConfigurationAndSWHardeningNeeded",
    ("ConfigurationNeeded", "OutOfDate"): "OutOfDateConfigurationNeeded",
}

Document = dict[str, JSONValue]


def convert_services(session: Source) -> Document:
    """The mapping ``services``; each with the files of its image, without inputs and outputs."""
    statuses, singleton = _security(session.object("security"))
    images = _images(session)
    services: Document = {}
    for source in session.objects("services"):
        given = source.text("name")
        if given is None:
            session.remarks.miss(source.where, "has no name")
            continue
        name = converted_name(given, source.path("name"), session.remarks)
        if name in services:
            session.remarks.miss(source.where, f"another service is called {shown(name)} already")
            continue
        service = _service(source, statuses)
        if singleton:
            service["singleton"] = True
        image = images.get(source.text("image_name") or "")
        if image is not None:
            service["files"] = _files(image)
        source.rest()
        services[name] = service
    for image in images.values():
        image.ignore("injection_files")  # Taken by every service that has the image.
        image.rest()
    return services


def _images(session: Source) -> dict[str, Source]:
    images: dict[str, Source] = {}
    for image in session.objects("images"):
        name = str(image.take("name"))
        if name in images:
            session.remarks.miss(image.where, f"another image is called {shown(name)} already")
        else:
            images[name] = image
    return images


def _security(security: Source) -> tuple[list[str], bool]:
    """The TCB statuses that are tolerated, and whether enclaves are singletons."""
    attestation = security.object("attestation")
    singleton = security.flag("singleton_enclaves") or attestation.flag("singleton_enclaves")
    mode = attestation.text("mode")
    if mode not in (None, "hardware"):
        attestation.remarks.miss(attestation.path("mode"), "only evidence of hardware is admitted")
    statuses = {"UpToDate"}
    for where, item in attestation.items("tolerate"):
        statuses |= {*_TOLERATED.get(str(item), ())}
        if item == "debug-mode":
            attestation.remarks.miss(where, "debug enclaves are never admitted")
        elif item not in _TOLERATED:
            attestation.remarks.miss(where, f"{shown(item)} cannot be tolerated by itself")
    for pair, both in _TOGETHER.items():
        statuses |= {both} if {*pair} <= statuses else set()
    if attestation.take("ignore_advisories") is not None:
        attestation.remarks.note(
            attestation.path("ignore_advisories"),
            "advisories count by the TCB status they lead to; `rejected_advisories` refuses some",
        )
    attestation.rest()
    security.rest()
    return sorted(statuses, key=lambda status: (status != "UpToDate", status)), singleton


def _service(source: Source, statuses: list[str]) -> Document:
    service: Document = {
        "attestation": _attestation(source, statuses),
        "command": _command(source),
        "workdir": source.text("pwd") or "/",
        "environment": _environment(source.object("environment")),
        "network": "none",
        "inputs": [],
        "outputs": [],
    }
    source.remarks.note(
        source.where, "it reaches no network; `network: open` lets it reach every one"
    )
    password = source.text("one_time_password_shared_secret")
    if password is not None:
        secret = referenced_name(password)
        if secret is None:
            # What stands there is a secret itself: it is neither taken over nor repeated.
            source.remarks.miss(
                source.path("one_time_password_shared_secret"),
                "a value never stands in a policy: declare a secret, and name it under `totp`",
            )
        else:
            service["totp"] = secret
    for name in ("fspf_path", "fspf_key", "fspf_tag"):
        if source.take(name) is not None:
            source.remarks.miss(
                source.path(name), "seal the files with `accord volume seal`, then list the input"
            )
    return service


def _attestation(source: Source, statuses: list[str]) -> list[JSONValue]:
    variants: list[Document] = []
    enclaves = [str(value) for _, value in source.items("mrenclaves")]
    if enclaves:
        variants.append({"measurements": {"mrenclave": enclaves}})
    for given in source.objects("attestation"):
        measurements: Document = {}
        variant: Document = {"measurements": measurements}
        listed = [str(value) for _, value in given.items("mrenclave")]
        if listed:
            measurements["mrenclave"] = listed
        signer = given.object("signer")
        if signer.names():
            measurements["mrsigner"] = [str(value) for _, value in signer.items("mrsigner")]
            variant |= _versions(signer)
            signer.rest()
        given.rest()
        variants.append(variant)
    if not variants:
        source.remarks.miss(source.where, "does not say which program may run: add `attestation`")
    tcb: Document = {} if statuses == ["UpToDate"] else {"tcb_statuses": list(statuses)}
    return [{"family": "sgx", **variant, **tcb} for variant in variants]


def _versions(signer: Source) -> Document:
    attributes: Document = {}
    made: Document = {}
    product = signer.integer("isvprodid")
    if product is not None:
        attributes["isv_prod_id"] = [product]
    exact, least, most = (signer.integer(name) for name in ("isvsvn", "isvsvn_min", "isvsvn_max"))
    if exact is not None and (least, most) != (None, None):
        signer.remarks.miss(
            signer.path("isvsvn"), "either one version or a range: list those that are admitted"
        )
    elif exact is not None:
        attributes["isv_svn"] = [exact]
    elif most is not None:
        first = max(least or 0, 0)
        if 0 <= most - first < MAX_SVN:
            attributes["isv_svn"] = list(range(first, most + 1))
        else:
            signer.remarks.miss(signer.path("isvsvn_max"), "list the versions that are admitted")
    elif least is not None:
        made["minimums"] = {"isv_svn": least}
    return {**made, "attributes": attributes} if attributes else made


def _command(source: Source) -> list[JSONValue]:
    value, where = source.take("command"), source.path("command")
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        source.remarks.miss(where, "say which program runs; no image tells")
        return []
    return [
        converted_text(str(word), f"{where}[{index}]", source.remarks)
        for index, word in enumerate(words)
    ]


def _environment(source: Source) -> Document:
    made: Document = {}
    for name in source.names():
        value = source.take(name)
        if name.startswith("SCONE_NETWORK"):
            source.remarks.miss(source.path(name), "there is no network shield; `network: none`")
        elif name.startswith("SCONE_"):
            source.remarks.note(source.path(name), "sets the SCONE runtime, and is left out")
        elif isinstance(value, (dict, list)) or value is None:
            source.remarks.miss(source.path(name), "is no text")
        elif name.startswith("@@"):
            source.remarks.miss(source.path(name), "comes from the host, which no policy allows")
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            made[name] = converted_text(text, source.path(name), source.remarks)
    return made


def _files(image: Source) -> list[JSONValue]:
    """The injection files of an image, which stand below ``/run`` here."""
    made: list[JSONValue] = []
    listed = image.take("injection_files")
    for file in Source({"injection_files": listed}, image.where, image.remarks).objects(
        "injection_files"
    ):
        path, content = file.text("path"), file.text("content")
        if path is None or content is None:
            file.remarks.miss(file.where, "write its content into the policy: `content`")
            continue
        at = path if path.startswith("/run/") else f"/run/{path.lstrip('/')}"
        if at != path:
            file.remarks.miss(
                file.path("path"), f"the file stands at {shown(at)}: tell the program"
            )
        made.append(
            {
                "at": at,
                "content": converted_text(content, file.path("content"), file.remarks),
                "mode": _mode(file),
            }
        )
        file.rest()
    image.ignore("volumes")
    return made


def _mode(file: Source) -> str:
    value = file.take("permission")
    if value is None:
        return "0700"
    number = value if isinstance(value, int) else None
    if isinstance(value, str) and _OCTAL.fullmatch(value):
        number = int(value, 8)
    if number is None or not 0 <= number <= MAX_MODE:
        file.remarks.miss(file.path("permission"), f"{shown(value)} is no mode of a file")
        return "0700"
    return f"0{number:03o}"
