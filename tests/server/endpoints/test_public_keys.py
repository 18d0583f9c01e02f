"""Tokens of an identity provider: RS256 and ES256 by the keys in its file, and nothing else."""

import hashlib
import hmac
import json

import pytest
from credentials import (
    GOOD,
    NOW,
    SECRET,
    ec_key,
    encode,
    jwk,
    jwks,
    part,
    public_pem,
    rsa_key,
    signed_by,
    token,
)
from rest import FILTERED, http, refused
from rig import Rig, serving

from server.endpoints.principals import KeyRing
from server.endpoints.public_keys import parse_jwks
from server.endpoints.tokens import SECRET_SIGNER, TokenError, TokenReader

RSA, OTHER_RSA, EC, OTHER_EC = rsa_key(), rsa_key(number=1), ec_key(), ec_key(1)
CLAIMS = GOOD | {"aud": "manicule", "iss": "https://id.example"}
SET = jwks(
    jwk(RSA, kid="r1", use="sig", alg="RS256"),
    jwk(EC, kid="e1"),
    jwk(OTHER_RSA, kid="enc", use="enc"),
    {"kty": "oct", "k": encode(SECRET.encode()), "kid": "oct"},
    {"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "ed"},
)
KEYS = parse_jwks(SET)
READER = TokenReader(public_keys=lambda: KEYS)


def test_s2_only_keys_that_verify_are_taken_from_a_set():
    assert [(key.algorithm, key.kid) for key in KEYS] == [("RS256", "r1"), ("ES256", "e1")]


def test_tokens_of_both_algorithms_are_read():
    for key, kid in ((RSA, "r1"), (EC, "e1")):
        for more in ({"kid": kid}, {}):  # without a kid when there is one key of the algorithm
            claims, signer = READER.read(signed_by(key, CLAIMS, **more), NOW)
            assert claims.sub == "ada"
            assert signer in READER.signers
    assert TokenReader(SECRET.encode()).signers == {SECRET_SIGNER}


def confused(algorithm: str, secret: bytes) -> str:
    signed = f"{part({'alg': algorithm, 'kid': 'r1'})}.{part(CLAIMS)}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


MODULUS = RSA.public_key().public_numbers().n.to_bytes(256, "big")
REFUSED = {
    "HS256 by the public key": confused("HS256", public_pem(RSA)),
    "HS256 by the public key without its last line end": confused("HS256", public_pem(RSA).strip()),
    "HS256 by the set": confused("HS256", SET.encode()),
    "HS256 by the modulus": confused("HS256", MODULUS),
    "HS256 by nothing": confused("HS256", b""),
    "RS256 that is an HMAC": confused("RS256", public_pem(RSA)),
    "none": f"{part({'alg': 'none'})}.{part(CLAIMS)}.",
    "none with a signature": signed_by(RSA, CLAIMS, {"alg": "none"}),
    "NoNe": signed_by(RSA, CLAIMS, {"alg": "NoNe", "kid": "r1"}),
    "another RSA key": signed_by(OTHER_RSA, CLAIMS, kid="r1"),
    "another elliptic key": signed_by(OTHER_EC, CLAIMS, kid="e1"),
    "an unknown kid": signed_by(RSA, CLAIMS, kid="r2"),
    "a kid of the other algorithm": signed_by(RSA, CLAIMS, kid="e1"),
    "a key for encryption": signed_by(OTHER_RSA, CLAIMS, kid="enc"),
    "ES256 in the name of RSA": signed_by(EC, CLAIMS, {"alg": "RS256", "kid": "r1"}),
    "RS256 in the name of the curve": signed_by(RSA, CLAIMS, {"alg": "ES256", "kid": "e1"}),
    "PS256": signed_by(RSA, CLAIMS, {"alg": "PS256", "kid": "r1"}),
    "RS512": signed_by(RSA, CLAIMS, {"alg": "RS512", "kid": "r1"}),
    "a key of its own": signed_by(OTHER_RSA, CLAIMS, {"alg": "RS256", "jwk": jwk(OTHER_RSA)}),
    "a key from elsewhere": signed_by(OTHER_RSA, CLAIMS, {"alg": "RS256", "jku": "https://x"}),
    "crit": signed_by(RSA, CLAIMS, {"alg": "RS256", "kid": "r1", "crit": ["b64"]}),
    "a signature of zeros": signed_by(EC, CLAIMS, kid="e1").rpartition(".")[0] + "." + "A" * 86,
    "no signature": signed_by(RSA, CLAIMS, kid="r1").rpartition(".")[0] + ".",
    "half a signature": signed_by(RSA, CLAIMS, kid="r1")[:-100],
    "expired": signed_by(RSA, CLAIMS | {"exp": NOW}, kid="r1"),
    "not valid yet": signed_by(RSA, CLAIMS | {"nbf": NOW + 31}, kid="r1"),
    "not issued yet": signed_by(RSA, CLAIMS | {"iat": NOW + 31}, kid="r1"),
    "for nobody in particular": signed_by(RSA, GOOD, kid="r1"),
    "for another server": signed_by(RSA, CLAIMS | {"aud": "billing"}, kid="r1"),
    "HS256 by a secret that is not ours": token(CLAIMS),
}


@pytest.mark.parametrize("how", REFUSED)
def test_s2_a_token_that_no_key_of_the_set_signed_is_refused(how):
    with pytest.raises(TokenError) as caught:
        READER.read(REFUSED[how], NOW)
    assert "ada" not in str(caught.value)
    if how != "HS256 by a secret that is not ours":  # with a secret too nothing more is taken
        with pytest.raises(TokenError):
            TokenReader(SECRET.encode(), lambda: KEYS).read(REFUSED[how], NOW)


def test_issuer_and_audience_are_demanded_when_set():
    def reads(claims, **settings):
        reader = TokenReader(SECRET.encode(), lambda: KEYS, **settings)
        try:
            return reader.read(signed_by(RSA, claims, kid="r1"), NOW)[0].sub == "ada"
        except TokenError:
            return False

    assert reads(CLAIMS, issuer="https://id.example")
    assert not reads(CLAIMS, issuer="https://id.example/")
    assert not reads(GOOD | {"aud": "manicule"}, issuer="https://id.example")
    assert reads(CLAIMS | {"aud": ["x", "shop"]}, audience="shop")
    assert not reads(CLAIMS, audience="shop")
    strict = TokenReader(SECRET.encode(), audience="shop")
    with pytest.raises(TokenError, match="audience"):
        strict.read(token(), NOW)
    assert strict.read(token(GOOD | {"aud": "shop"}), NOW)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JWKS"),
        ("[]", "no JWKS"),
        (jwks(), "no key for"),
        (jwks({"kty": "oct", "k": "AAAA"}), "no key for"),
        (jwks(jwk(rsa_key(1024))), "1024 bits"),
        (jwks(jwk(RSA) | {"n": "?"}), None),
        (jwks(jwk(EC) | {"x": "AAAA"}), None),
        (jwks(*[jwk(EC)] * 101), "over 100"),
        (json.dumps({"keys": [{"kty": 5}]}), "no JWKS"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_jwks(text)


async def test_a_rotated_set_is_read_again_and_a_broken_one_is_not(tmp_path):
    file = tmp_path / "jwks.json"
    file.write_text(jwks(jwk(RSA, kid="r1")))
    old, new = (signed_by(key, CLAIMS, kid=kid) for key, kid in ((RSA, "r1"), (OTHER_RSA, "r2")))
    async with Rig() as rig, serving(rig) as url:
        rig.node.keys = keys = KeyRing((), wall_clock=lambda: NOW, jwks_file=file)
        assert not keys.is_open

        async def taken(text):
            async with http(url, text) as client:
                return (await client.get(FILTERED[0])).status_code == 200

        assert (await taken(old), await taken(new)) == (True, False)
        principal = keys.find(old)
        file.write_text(jwks(jwk(OTHER_RSA, kid="r2")))
        keys.refresh()
        assert (await taken(old), await taken(new)) == (False, True)
        assert not keys.stands(principal)
        file.write_text("{")
        keys.refresh()
        file.unlink()
        keys.refresh()
        assert await taken(new), "what was read last holds"
        async with http(url, confused("HS256", public_pem(OTHER_RSA))) as client:
            refused(await client.get(FILTERED[0]), "unauthorized")
