"""Options of the HTTP server: where it listens, who may ask, and what a peer may take."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from metalscope.access_options import AccessOptions
from metalscope.option_base import Options
from metalscope.option_types import Count, Duration, Port, is_loopback
from metalscope.page_options import PageOptions

__all__ = ["ServerLimitsOptions", "ServerOptions", "ServerTlsOptions"]


_OF_BINDING: Final = {"insecure_no_auth", "insecure_no_tls", "tls", "access"}


class ServerTlsOptions(Options):
    """TLS of the server. A renewed file is used from the next connection on."""

    cert_file: Path | None = Field(
        None,
        description="The certificate, with those between it and a known authority; PEM. With it "
        "the server speaks TLS 1.2 and later, and nothing else.",
    )
    key_file: Path | None = Field(
        None,
        validate_default=True,
        description="Its private key, PEM, not encrypted; where it is not in `cert_file`.",
    )
    client_ca_file: Path | None = Field(
        None,
        validate_default=True,
        description="Authorities, PEM: whoever connects must bring a certificate of one.",
    )

    @field_validator("key_file", "client_ca_file")
    @classmethod
    def _only_with_a_certificate(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        # Absent where its own value was refused.
        if path is not None and info.data.get("cert_file", path) is None:
            raise ValueError("is of no use without a cert_file")
        return path


class ServerLimitsOptions(Options):
    """What a peer may take of the server."""

    max_connections: Count = Field(
        1000,
        description="Connections open at once, of which 500 may be event streams; never more than "
        "half of the files the process may open. A count.",
    )
    header_timeout: Duration = Field(
        timedelta(seconds=10), description="How long the headers of a request may take to arrive."
    )
    request_timeout: Duration = Field(
        timedelta(seconds=30),
        description="How long a request may take from then until its answer has been sent; "
        "the event stream may take longer.",
    )


class ServerOptions(Options):
    """The HTTP server with the page, `/metrics`, `/health` and the API."""

    enabled: bool = Field(False, description="Whether the server is started with telemetry.")
    # Before host, whose check looks at them.
    insecure_no_auth: bool = Field(
        False, description="Serve beyond this machine although no key is asked for."
    )
    insecure_no_tls: bool = Field(
        False,
        description="Take keys from beyond this machine without TLS of the server's own; for one "
        "that is behind a proxy with TLS.",
    )
    tls: ServerTlsOptions = Field(ServerTlsOptions.defaults(), description="TLS.")
    access: AccessOptions = Field(
        AccessOptions.defaults(), description="Who may ask for what, and the audit log."
    )
    host: str = Field("127.0.0.1", description="The address to listen on; a name or an IP address.")
    port: Port = Field(9464, description="The TCP port to listen on; 0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Names, without port, by which the server is asked for. Others are refused: "
        "on this machine's own addresses always, elsewhere where any are named here.",
    )
    health_details: Literal["local", "always", "never"] = Field(
        "local",
        description="Who is told by `/health` which component is unwell and why: programs of "
        "this machine, everybody, or nobody; the rest get the status alone.",
    )
    limits: ServerLimitsOptions = Field(
        ServerLimitsOptions.defaults(), description="What a peer may take."
    )
    page: PageOptions = Field(PageOptions.defaults(), description="The page.")

    @field_validator("host")
    @classmethod
    def _only_this_machine(cls, host: str, info: ValidationInfo) -> str:
        host = host.strip().removeprefix("[").removesuffix("]")
        if not host or re.search(r"[\s/@]", host):
            raise ValueError("must be a host name or an IP address")
        if re.fullmatch(r"[^:]*:\d*", host):
            raise ValueError("must be a host without a port; the port is an option of its own")
        # Absent where its own value was refused: that problem is told instead of this one.
        given = info.data
        if is_loopback(host) or not given.keys() >= _OF_BINDING:
            return host
        if not given["access"].is_on and not given["insecure_no_auth"]:
            raise ValueError(
                "can be reached from other machines and no key would be asked for; use 127.0.0.1, "
                "or set access.keys_file, or insecure_no_auth to true to serve it all the same"
            )
        has_tls = given["tls"].cert_file is not None
        if given["access"].is_on and not has_tls and not given["insecure_no_tls"]:
            raise ValueError(
                "can be reached from other machines and keys would come over plain HTTP; set "
                "tls.cert_file and tls.key_file, or insecure_no_tls to true where a proxy before "
                "it has TLS"
            )
        return host

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]|\*", host):
                raise ValueError(
                    "must be names without scheme and port, such as 'gpu-box.example'; '*' for any"
                )
        return hosts
