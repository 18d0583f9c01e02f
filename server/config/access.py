"""The settings of where to listen and who may come."""

# ruff: noqa: RUF009 - setting() is dataclasses.field() and returns nothing mutable

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from server.config.rows import setting


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AccessSettings:
    """The first rows of the table; see `Settings`."""

    # where to listen
    host: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(
        8080, "Port to listen on; 0 picks a free one and prints it.", low=0, high=65_535
    )
    workers: int = setting(1, "Server processes that share the port.", low=1, high=256)
    insecure: bool = setting(
        False, "Listen on other addresses than this machine's own although no keys are set."
    )
    origins: tuple[str, ...] = setting(
        (),
        "Web origins that may open a socket, such as https://app.example.com; the server's own "
        "page is always allowed.",
    )
    hosts: tuple[str, ...] = setting(
        (),
        "Names of this server in the Host header, such as answers.example.com; others are refused. "
        "Addresses and localhost always pass. Without any, every name does on a server with keys.",
    )
    tls_certificate: Path | None = setting(
        None, "File of the certificate chain (PEM), to serve https and wss without a proxy."
    )
    tls_key: Path | None = setting(None, "File of its private key (PEM).")
    metrics_port: int = setting(
        0,
        "Port for /metrics alone, which is then nowhere else and needs no key; 0 for none.",
        low=0,
        high=65_535,
    )
    metrics_token: str = setting(
        "",
        "Opens /metrics as Authorization: Bearer. Without one it takes a viewer's key where there "
        "are keys, and nothing on its own port.",
        secret=True,
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks (10.0.0.0/8) of the proxies in front, whose X-Forwarded-For is "
        "believed; without any nobody's is.",
    )
    data_dir: Path = setting(Path("data"), "Folder for everything the server keeps on disk.")
    api_keys: tuple[str, ...] = setting(
        (),
        "Keys that may use the server, each as role:key or role:tenant:key; roles are user, "
        "viewer, annotator and admin. Without any, everybody who reaches the server may all.",
        secret=True,
    )
    api_keys_file: Path | None = setting(
        None,
        "File of further keys, one a line and # before remarks; read again when it changes, and "
        "the sockets of a key that is gone are closed.",
    )
    jwt_secret: str = setting(
        "",
        "Signs tokens (JWT, HS256) that are accepted wherever an API key is; claims are sub, role, "
        "tenant and exp.",
        secret=True,
    )
    jwks_file: Path | None = setting(
        None,
        "File of an identity provider's public keys (JWKS): tokens signed with RS256 or ES256 are "
        "accepted too; read again when it changes.",
    )
    jwt_issuer: str = setting("", "What `iss` of every token must be; empty: anything.")
    jwt_audience: str = setting(
        "",
        "What `aud` of every token must hold; empty: manicule, and HS256 tokens may have none.",
    )
    revoked_file: Path | None = setting(
        None,
        "File of what is revoked, a line each: jti:ID, key:DIGEST or sub:NAME [before TIME]; read "
        "again when it changes. With a log Redis the set manicule:revoked counts too.",
    )
    secret_key: str = setting(
        "", "Signs receipts; the nodes of a fleet share it. Made once when empty.", secret=True
    )
