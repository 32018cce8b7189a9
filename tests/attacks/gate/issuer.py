"""An OpenID issuer for tests: signs tokens, publishes its keys over HTTPS with a certificate of its own."""

import contextlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ringfort.sites.tls import ensure_tls

ISSUER = "https://issuer.example/realms/shop"
AUDIENCE = "ringfort"


def make_key(algorithm="ES256", size=2048):
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, size)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def published(key, name, algorithm, **more):
    """A public key as a JWK set lists it."""
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": name, "alg": algorithm, "use": "sig", **more}


def claims(**changes):
    """Claims of a good token; a claim that is set to None is left out."""
    now = time.time()
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice-4711", "iat": int(now), "exp": int(now) + 300}
    return {name: value for name, value in (given | changes).items() if value is not None}


class Issuer:
    """`keys` are published; `rotate` makes another the only one."""

    def __init__(self, folder):
        ensure_tls(folder, ("localhost", "127.0.0.1"))
        self._folder = folder
        self.asked = 0
        self.behaviour = ""
        self.keys = []
        self.rotate("first")

    def rotate(self, name, algorithm="ES256"):
        self.name, self.algorithm, self.key = name, algorithm, make_key(algorithm)
        self.keys = [published(self.key, name, algorithm)]

    def token(self, *, key=None, name=None, algorithm=None, headers=None, **changes):
        return jwt.encode(
            claims(**changes),
            key or self.key,
            algorithm or self.algorithm,
            headers={"kid": name or self.name, **(headers or {})},
        )

    def settings(self, **changes):
        return {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "jwks_url": f"https://localhost:{self.port}/keys",
            "jwks_ca": str(self._folder / "ca.pem"),
            **changes,
        }

    def __enter__(self):
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                issuer.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, handler):
        if self.behaviour == "drip":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Padding: ")
            with contextlib.suppress(OSError):
                while self.behaviour == "drip":
                    handler.wfile.write(b"x")
                    time.sleep(0.2)
            handler.close_connection = True
            return
        body = json.dumps({"keys": self.keys}).encode()
        if self.behaviour == "redirect":
            handler.send_response(302)
            handler.send_header("Location", f"https://localhost:{self.port}/elsewhere")
        else:
            handler.send_response(500 if self.behaviour == "error" else 200)
        if self.behaviour == "long":
            body += b" " * 300_000
        if self.behaviour == "junk":
            body = b"<html>"
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
