"""`manicule keys` and `manicule token`: makes what lets people in."""

from __future__ import annotations

import re
import secrets
import sys
import time
from enum import StrEnum
from typing import Annotated

import typer

from server.cli.options import USAGE, EnvFile, fail, read_options

KEY_BYTES = 32  # 43 characters that nobody guesses

keys_app = typer.Typer(no_args_is_help=True, help="Make API keys, and tell them by their digest.")


class RoleName(StrEnum):
    """The roles, the least first."""

    USER = "user"
    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    ADMIN = "admin"


RoleOption = Annotated[RoleName, typer.Option(help="What it allows: each role adds to the last.")]
TenantOption = Annotated[str, typer.Option(help="Whose it is; the tenants see nothing of others.")]


@keys_app.command("new")
def keys_new(role: RoleOption = RoleName.USER, tenant: TenantOption = "") -> None:
    """Make a key and print it as the server is told of it: role:key or role:tenant:key.

    Add the line to the file that MANICULE_API_KEYS_FILE names, or the entry to MANICULE_API_KEYS.
    What follows the last colon is the key itself, which its user gets. It is kept nowhere.

    Example: `manicule keys new --role viewer >> keys`
    """
    _check_tenant(tenant)
    parts = [role.value, *([tenant] if tenant else []), secrets.token_urlsafe(KEY_BYTES)]
    sys.stdout.write(":".join(parts) + "\n")


@keys_app.command("digest")
def keys_digest() -> None:
    """Read a key from standard input and print what the audit log and revocations call it.

    The key is not an option, since other users of a machine can see a program's options.

    Example: `manicule keys digest < key`
    """
    from server.endpoints.api_keys import MIN_KEY_CHARS, digest_of

    key = sys.stdin.readline().strip().rpartition(":")[2]
    if len(key) < MIN_KEY_CHARS:
        fail((f"No key came: it has at least {MIN_KEY_CHARS} characters.",), USAGE)
    sys.stdout.write(digest_of(key).hex()[:12] + "\n")


def token(
    sub: Annotated[str, typer.Option(help="The person.", metavar="NAME")],
    role: RoleOption = RoleName.USER,
    tenant: TenantOption = "",
    minutes: Annotated[float, typer.Option(min=0.1, max=525_600, help="How long it lasts.")] = 15,
    env_file: EnvFile = None,
) -> None:
    """Make a signed token (JWT, HS256) with MANICULE_JWT_SECRET, for trying things out.

    Where people sign in, their identity provider makes tokens; see docs/security.md.

    Example: `manicule token --sub ada --role annotator --minutes 60`
    """
    from server.endpoints.tokens import MIN_SECRET_CHARS, Claims, write_token

    settings = read_options({"env_file": env_file})
    _check_tenant(tenant)
    if len(settings.jwt_secret) < MIN_SECRET_CHARS:
        fail((f"MANICULE_JWT_SECRET: set {MIN_SECRET_CHARS} characters or more.",), USAGE)
    if not 0 < len(sub) <= 128 or "\x00" in sub:
        fail(("--sub: write 1 to 128 characters.",), USAGE)
    now = int(time.time())
    claims = Claims(
        sub=sub,
        role=role.value,
        tenant=tenant,
        iat=now,
        exp=now + minutes * 60,
        aud=settings.jwt_audience or None,
        iss=settings.jwt_issuer or None,
        jti=secrets.token_hex(16),
    )
    sys.stdout.write(write_token(claims, settings.jwt_secret.encode()) + "\n")


def _check_tenant(tenant: str) -> None:
    if not re.fullmatch(r"[^:,#\s\x00]{0,64}", tenant):
        fail(("--tenant: write up to 64 characters without spaces, colons and commas.",), USAGE)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(keys_app, name="keys")
    app.command("token")(token)
