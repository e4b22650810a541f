"""PyPI `joserfc`: makes tokens, and judges tokens, driven by lines on stdin. The lines are those of `judge.mjs`."""

from __future__ import annotations

import base64
import json
import sys
import uuid
import warnings
from typing import Any

from joserfc import jwk, jwt
from joserfc.jws import JWSRegistry

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
# RFC 9068 §2.2.
REQUIRED = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
BYTES_MAX = 8192


class Registry(JWSRegistry):
    """As long as the gateway takes them: how much is too much is everybody's own choice."""

    max_header_length = BYTES_MAX
    max_payload_length = BYTES_MAX
    max_signature_length = BYTES_MAX


class Judge:
    """What is expected of a token."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.keys = jwk.KeySet.import_key_set({"keys": asked["keys"]})
        self.algorithms = asked["algorithms"]
        # RFC 7515 §4.2: a header parameter that nobody registered is ignored unless it is critical.
        self.registry = Registry(algorithms=self.algorithms, strict_check_header=False)
        options: dict[str, Any] = {claim: {"essential": True} for claim in REQUIRED}
        options["iss"]["value"] = asked["issuer"]
        options["aud"]["value"] = asked["audience"]
        self.claims = jwt.JWTClaimsRegistry(now=asked["now"], leeway=asked["leeway"], **options)

    def refuses(self, text: str) -> str | None:
        """Why, or None."""
        try:
            token = jwt.decode(base64.b64decode(text), self.keys, self.algorithms, self.registry)
            self.claims.validate(token.claims)
        except Exception as error:  # noqa: BLE001 - whatever the library raises, it has not accepted the token
            return type(error).__name__
        return None


def make(asked: dict[str, Any]) -> dict[str, Any]:
    """A token for each algorithm, each with a key of its own name."""
    now = asked["now"]
    rsa = jwk.RSAKey.generate_key(2048)
    keys, tokens = [], []
    for alg in (*RSA, *CURVES):
        made = rsa if alg in RSA else jwk.generate_key(*CURVES[alg])  # type: ignore[call-overload]
        header = {"alg": alg, "kid": f"joserfc-{alg}", "typ": "at+jwt"}
        claims = {
            "iss": asked["issuer"],
            "aud": [asked["audience"]],
            "sub": "service",
            "client_id": "service",
            "jti": str(uuid.uuid4()),
            "iat": now - 10,
            "nbf": now - 10,
            "exp": now + 600,
        }
        public = {**made.as_dict(private=False), "use": "sig", "alg": alg, "kid": header["kid"]}
        keys.append({"jwk": public, "pem": made.as_pem(private=False).decode()})
        tokens.append({"alg": alg, "token": jwt.encode(header, claims, made, algorithms=[alg])})
    return {"keys": keys, "tokens": tokens, "odd": []}


def main() -> None:
    """Answers each line with one; ends with its input."""
    # Some algorithms are out of fashion. That is known, and the gateway's configuration names each.
    warnings.simplefilter("ignore")
    judge: Judge | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        match asked["do"]:
            case "make":
                answer = make(asked)
            case "expect":
                judge, answer = Judge(asked), {}
            case "judge" if judge is not None:
                answer = {"refused": [judge.refuses(token) for token in asked["tokens"]]}
            case other:
                answer = {"failed": f"nobody knows how to {other}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
