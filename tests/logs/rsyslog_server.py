"""A real syslog server, rsyslog, that writes what it understood of each message as JSON."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from faulty_server import authority

from peers import free_port, require_peer

READY_SECONDS = 30.0
_CONFIGURATION = """
global(
    workDirectory="{directory}"
    maxMessageSize="64k"
    parser.escapeControlCharactersOnReceive="{escape}"
    defaultNetstreamDriver="ptcp"
    defaultNetstreamDriverCAFile="{directory}/ca.pem"
    defaultNetstreamDriverCertFile="{directory}/cert.pem"
    defaultNetstreamDriverKeyFile="{directory}/key.pem"
)
module(load="imudp")
module(load="imtcp")
module(load="imuxsock" sysSock.use="off")
template(name="understood" type="list" option.jsonf="on") {{
    property(outname="facility" name="syslogfacility-text" format="jsonf")
    property(outname="severity" name="syslogseverity-text" format="jsonf")
    property(outname="version" name="protocol-version" format="jsonf")
    property(outname="time" name="timereported" dateFormat="rfc3339" date.inUTC="on" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="app" name="app-name" format="jsonf")
    property(outname="pid" name="procid" format="jsonf")
    property(outname="id" name="msgid" format="jsonf")
    property(outname="data" name="structured-data" format="jsonf")
    property(outname="text" name="msg" format="jsonf")
    property(outname="input" name="inputname" format="jsonf")
}}
ruleset(name="kept") {{
    action(type="omfile" file="{directory}/messages" template="understood")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="kept")
input(type="imtcp" address="127.0.0.1" port="{tcp}" ruleset="kept")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="kept"
      streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imuxsock" socket="{directory}/log" useSpecialParser="off" parseHostname="on"
      ignoreTimestamp="off" useSysTimeStamp="off" ruleset="kept" rateLimit.interval="0")
input(type="imuxsock" socket="{directory}/own" ruleset="kept" rateLimit.interval="0")
action(type="omfile" file="{directory}/rsyslog.log")
"""


@dataclass
class RsyslogServer:
    """A server with its ports; :meth:`stop` and :meth:`start` it as needed."""

    directory: Path
    escape: str
    udp: int
    tcp: int
    tls: int
    _process: subprocess.Popen[bytes] | None = None
    _seen: int = 0

    @property
    def path(self) -> Path:
        """Its Unix socket for messages of RFC 5424."""
        return self.directory / "log"

    @property
    def own_path(self) -> Path:
        """Another, that understands what it does by default, as on /dev/log."""
        return self.directory / "own"

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    def client(self, signed_by: trustme.CA | None = None) -> dict[str, Path]:
        """The options of TLS for a client with a certificate, by default one that it takes."""
        file = self.directory / ("stranger.pem" if signed_by else "client.pem")
        certificate = (signed_by or authority()).issue_cert("trainer.example")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(file))
        return {"ca_file": self.ca_file, "cert_file": file}

    def received(self) -> list[dict[str, Any]]:
        """All it understood so far."""
        try:
            text = (self.directory / "messages").read_text("utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def wait_for(self, count: int, seconds: float = 20.0) -> Sequence[dict[str, Any]]:
        """The messages since the last call, as soon as there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := self.received()[self._seen :]) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} came: {self.said()}"
            time.sleep(0.01)
        self._seen += len(found)
        return found

    def said(self) -> str:
        """What it says of itself."""
        log = self.directory / "rsyslog.log"
        return log.read_text() if log.exists() else ""

    def start(self) -> None:
        assert self._process is None
        program = require_peer("/usr/sbin/rsyslogd")
        command = [program, "-n", "-f", str(self.directory / "rsyslog.conf")]
        command += ["-i", str(self.directory / "rsyslog.pid")]
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=self.directory
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, (self.directory / "output").read_text()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it by its pid, in good order: what it has taken is written."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _is_ready(self) -> bool:
        if not (self.path.exists() and self.own_path.exists()):
            return False
        for port in (self.tcp, self.tls):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                return False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", self.udp))
            except OSError:
                return True
        return False


@contextmanager
def running_rsyslog(*, escape: bool = False) -> Iterator[RsyslogServer]:
    """A server on loopback ports of its own; stopped at the end.

    Args:
        escape: whether it writes control characters as it does by default, or as they came.
    """
    # Not a directory of pytest's: the path of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="rsyslog-") as name:
        directory = Path(name)
        ports = free_port(), free_port(), free_port()
        server = RsyslogServer(directory, "on" if escape else "off", *ports)
        certificate = authority().issue_cert("127.0.0.1", "localhost")
        authority().cert_pem.write_to_path(str(server.ca_file))
        certificate.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
        certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
        (directory / "rsyslog.conf").write_text(
            _CONFIGURATION.format(
                directory=directory,
                escape=server.escape,
                udp=server.udp,
                tcp=server.tcp,
                tls=server.tls,
            )
        )
        directory.chmod(0o755)
        try:
            server.start()
            yield server
        finally:
            server.stop()
