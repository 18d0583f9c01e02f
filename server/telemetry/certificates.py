"""When the certificates of a file end."""

from __future__ import annotations


def expiry_of(pem: bytes) -> float:
    """Return when the first of the certificates ends (Unix seconds); `ValueError` without any."""
    from cryptography import x509  # its import takes longer than a server without any needs

    found = x509.load_pem_x509_certificates(pem)
    return min(one.not_valid_after_utc.timestamp() for one in found)
