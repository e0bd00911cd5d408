"""Zones of addresses, and which of them may be connected to."""

from __future__ import annotations

import socket
import threading
from typing import Any

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.transport.addresses import AddressRefusedError, Zone, check_zone, resolve, zone_of

ZONES = {
    "169.254.169.254": Zone.LINK_LOCAL,
    "fe80::1%eth0": Zone.LINK_LOCAL,
    "fd00:ec2::254": Zone.LINK_LOCAL,
    "100.100.100.200": Zone.LINK_LOCAL,
    "127.0.0.1": Zone.LOOPBACK,
    "127.9.9.9": Zone.LOOPBACK,
    "0.0.0.0": Zone.LOOPBACK,
    "0.1.2.3": Zone.LOOPBACK,
    "::1": Zone.LOOPBACK,
    "::": Zone.LOOPBACK,
    "10.1.2.3": Zone.PRIVATE,
    "172.16.0.1": Zone.PRIVATE,
    "192.168.1.1": Zone.PRIVATE,
    "100.64.0.1": Zone.PRIVATE,
    "fd12::1": Zone.PRIVATE,
    "224.0.0.1": Zone.PRIVATE,
    "255.255.255.255": Zone.PRIVATE,
    "8.8.8.8": Zone.PUBLIC,
    "2606:4700::1": Zone.PUBLIC,
}


@pytest.mark.parametrize("address", ZONES)
def test_zones(address: str) -> None:
    assert zone_of(address) is ZONES[address]


@given(ip=st.ip_addresses(v=4))
def test_an_address_inside_an_ipv6_address_counts_as_itself(ip: Any) -> None:
    high, low = divmod(int(ip), 1 << 16)
    inside = [f"::ffff:{ip}", f"64:ff9b::{ip}", f"2002:{high:x}:{low:x}::1"]
    inside += [f"2001:0:4136:e378:8000:63bf:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}"]
    assert {zone_of(address) for address in inside} == {zone_of(str(ip))}


def test_only_allowed_addresses_of_a_name_are_left() -> None:
    assert check_zone("zoo.example", ["10.0.0.1", "8.8.8.8", "127.0.0.1"], Zone.PUBLIC) == ["8.8.8.8"]
    with pytest.raises(AddressRefusedError, match=r"no redirect is followed to zoo.example \(10.0.0.1\)"):
        check_zone("zoo.example", ["10.0.0.1", "127.0.0.1"], Zone.PUBLIC)


def test_a_name_that_does_not_exist_is_named() -> None:
    with pytest.raises(httpcore2.ConnectError, match=r"the name nowhere\.invalid cannot be resolved: ."):
        resolve("nowhere.invalid", 80, 30, CancellationToken())


def test_name_servers_that_do_not_answer_hold_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gate.wait(20) and [])
    with pytest.raises(httpcore2.ConnectError, match=r"no name server answered for zoo\.example within 0 s"):
        resolve("zoo.example", 80, 0.05, CancellationToken())
    cancelled = CancellationToken()
    threading.Timer(0.05, cancelled.cancel).start()
    with pytest.raises(Cancelled):
        resolve("zoo.example", 80, 20, cancelled)
    gate.set()
