# SPDX-License-Identifier: Apache-2.0
"""Which addresses are called where somebody else chose the name: only those of the public net."""

from __future__ import annotations

import ipaddress
import socket

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as some networks write them (RFC 6052 section 2.1)."""


class PrivateAddressError(OSError):
    """A name leads to this machine or to its own network only."""


def connect(host: str, port: int, timeout: float, *, public_only: bool) -> socket.socket:
    """A TCP connection to the first address of ``host`` that answers.

    With ``public_only``, addresses of this machine and of private networks are not even tried;
    the address that was looked at is the one that is called, whatever the name leads to later.
    Raises ``OSError``.
    """
    if not public_only:
        return socket.create_connection((host, port), timeout)
    failure: OSError = PrivateAddressError("no public address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for _, _, _, _, address in found:
        numeric = str(address[0])
        if not is_public(numeric):
            continue
        try:
            return socket.create_connection((numeric, port), timeout)
        except OSError as exc:
            failure = exc
    raise failure


def is_public(text: str) -> bool:
    """Whether an address means the same machine everywhere, and not one of this network."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast
