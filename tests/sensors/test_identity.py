"""Which machine this is, in OpenTelemetry's words."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import (
    host_attributes,
    os_attributes,
    process_attributes,
)

from metalscope.sensors import identity as room
from metalscope.sensors.identity import host_id, identity, platform_uuid

UUID = "01234567-89AB-CDEF-0123-456789ABCDEF"


@pytest.fixture(autouse=True)
def forgotten():
    host_id.cache_clear()
    yield
    host_id.cache_clear()


def test_every_name_is_one_of_opentelemetrys():
    known = {
        value
        for module in (host_attributes, os_attributes, process_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    assert set(identity()) <= known


def test_the_words_are_those_opentelemetry_has():
    found = identity()
    assert found["host.arch"] in {one.value for one in host_attributes.HostArchValues}
    assert found["os.type"] in {one.value for one in os_attributes.OsTypeValues}
    assert found["host.name"] == platform.node()
    assert found["process.pid"] == os.getpid()
    assert found["process.runtime.version"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(sys.platform != "linux", reason="machine-id(5) is of Linux")
def test_the_id_is_the_machines_own_where_it_can_be_read(tmp_path, monkeypatch):
    first, second = tmp_path / "etc", tmp_path / "dbus"
    monkeypatch.setattr(room, "_MACHINE_ID", (first, second))
    assert host_id() is None
    assert "host.id" not in identity()
    host_id.cache_clear()
    second.write_text("0123456789abcdef0123456789abcdef\n")
    assert host_id() == "0123456789abcdef0123456789abcdef"
    host_id.cache_clear()
    first.write_text("fedcba9876543210fedcba9876543210\n")
    assert identity()["host.id"] == "fedcba9876543210fedcba9876543210"


@pytest.mark.parametrize("content", [b"", b"uninitialized\n", b"\xff\xfe", b"not an id"])
def test_what_is_no_id_is_absent(tmp_path, monkeypatch, content):
    monkeypatch.setattr(room.sys, "platform", "linux")
    file = tmp_path / "machine-id"
    file.write_bytes(content)
    monkeypatch.setattr(room, "_MACHINE_ID", (file,))
    assert host_id() is None


def test_a_macs_uuid_is_that_of_its_registry(mac):
    mac.entry(["IOAccelerator"], {"IOPlatformUUID": "another's"})
    mac.entry(["IOPlatformExpertDevice"], {"IOPlatformUUID": UUID, "model": b"MacBookPro18,3"})
    assert platform_uuid(mac.iokit) == UUID


def test_a_mac_whose_registry_does_not_say_has_no_id(mac):
    assert platform_uuid(mac.iokit) is None
    mac.entry(["IOPlatformExpertDevice"], {"model": b"MacBookPro18,3"})
    assert platform_uuid(mac.iokit) is None


def test_a_registry_that_cannot_be_asked_is_no_reason_to_fail(mac, monkeypatch):
    mac.registry_fails(-536870201)
    monkeypatch.setattr("metalscope.sensors.native.iokit.IOKit", lambda core: mac.iokit)
    monkeypatch.setattr("metalscope.sensors.native.corefoundation.CoreFoundation", lambda: mac.core)
    monkeypatch.setattr(room.sys, "platform", "darwin")
    assert host_id() is None
    mac.registry_fails(0)
    host_id.cache_clear()
    mac.entry(["IOPlatformExpertDevice"], {"IOPlatformUUID": UUID})
    assert host_id() == UUID


@pytest.mark.skipif(sys.platform == "darwin", reason="they are there on a Mac")
def test_without_the_libraries_of_a_mac_there_is_no_id(monkeypatch):
    monkeypatch.setattr(room.sys, "platform", "darwin")
    assert host_id() is None


@pytest.mark.skipif(sys.platform != "darwin", reason="ioreg is of macOS")
def test_ioreg_of_this_mac_says_the_same():
    command = ["/usr/sbin/ioreg", "-rd1", "-c", "IOPlatformExpertDevice"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f'"IOPlatformUUID" = "{host_id()}"' in printed


def test_the_real_id_of_this_machine_is_one():
    found = host_id()
    if sys.platform == "linux" and not Path("/etc/machine-id").exists():
        assert found is None
    else:
        assert found is None or re.fullmatch(r"[0-9A-Fa-f-]{32,36}", found)
