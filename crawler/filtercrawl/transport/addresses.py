"""Network addresses: which of them are public, and which a redirect may lead to."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from enum import IntEnum
from typing import Final

import httpcore2
import httpx2

from filtercrawl.api.cancellation import CancellationToken

_POLL_SECONDS: Final = 0.1
# Instance metadata services outside of the link-local blocks: AWS over IPv6, Alibaba Cloud, Azure, Oracle Cloud.
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
# IPv6 prefixes of NAT64, whose last four bytes are an IPv4 address (RFC 6052, RFC 8215).
_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/96"))
# IPv4-compatible IPv6 addresses, deprecated (RFC 4291).
_IPV4_COMPATIBLE: Final = ipaddress.ip_network("::/96")


class Zone(IntEnum):
    """From where an address can be reached, the narrowest first; a redirect never leads to a narrower one."""

    LINK_LOCAL = 0
    LOOPBACK = 1
    PRIVATE = 2
    PUBLIC = 3


_DESCRIPTIONS: Final = {
    Zone.LINK_LOCAL: "a link-local or metadata address",
    Zone.LOOPBACK: "an address of this machine",
    Zone.PRIVATE: "an address of a private network",
    Zone.PUBLIC: "a public address",
}


class AddressRefusedError(httpx2.TransportError):
    """A host has no address that may be connected to; another attempt is pointless."""


def zone_of(address: str) -> Zone:
    """Return the zone of a numeric address; IPv4 addresses inside IPv6 ones count as themselves."""
    ip = _unwrap(ipaddress.ip_address(address.partition("%")[0]))
    if ip.is_link_local or ip in _METADATA:
        return Zone.LINK_LOCAL
    if ip.is_loopback or ip.is_unspecified or (ip.version == 4 and ip.packed[0] == 0):
        return Zone.LOOPBACK
    return Zone.PUBLIC if ip.is_global and not ip.is_multicast else Zone.PRIVATE


def _unwrap(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if any(ip in network for network in _NAT64) or (ip in _IPV4_COMPATIBLE and int(ip) > 0xFFFF):
        return ipaddress.IPv4Address(ip.packed[-4:])
    teredo = ip.teredo
    return ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else ip)


def check_zone(host: str, addresses: list[str], narrowest: Zone) -> list[str]:
    """Return the addresses of a host that may be connected to.

    Args:
        host: The host, for the message.
        addresses: Its numeric addresses.
        narrowest: The narrowest zone that is allowed.

    Raises:
        AddressRefusedError: None of them may be.
    """
    allowed = [address for address in addresses if zone_of(address) >= narrowest]
    if addresses and not allowed:
        zone = zone_of(addresses[0])
        named = addresses[0] if host == addresses[0] else f"{host} ({addresses[0]})"
        what = "no redirect is followed to" if narrowest > Zone.LOOPBACK else "nothing is fetched from"
        raise AddressRefusedError(
            f"{what} {named}, {_DESCRIPTIONS[zone]}; allow it by local_redirects = true under [sync]"
        )
    return allowed


def resolve(host: str, port: int, timeout: float | None, cancellation: CancellationToken) -> list[str]:
    """Return the numeric addresses of a host, in the order in which they should be tried.

    Args:
        host: A name, or an address.
        port: The port to connect to.
        timeout: Seconds to wait for the name servers; the system's own limit is often several times as long.
        cancellation: Ends the wait.

    Raises:
        httpcore2.ConnectError: The name cannot be resolved.
        Cancelled: The run is to end.
    """
    found: list[str] = []
    errors: list[OSError] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(info[4][0]) for info in infos))
        except (OSError, UnicodeError) as error:
            errors.append(error if isinstance(error, OSError) else OSError(str(error)))
        finally:
            done.set()

    threading.Thread(target=look_up, daemon=True).start()  # nothing can interrupt the C library
    deadline = None if timeout is None else time.monotonic() + timeout
    while not done.wait(_POLL_SECONDS):
        cancellation.raise_if_cancelled()
        if deadline is not None and time.monotonic() > deadline:
            raise httpcore2.ConnectError(f"no name server answered for {host} within {timeout:.0f} s")
    if errors:
        raise httpcore2.ConnectError(
            f"the name {host} cannot be resolved: {errors[0].strerror or errors[0]}"
        ) from errors[0]
    return found
