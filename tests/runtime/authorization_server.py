"""An authorization server: Authlib's on Flask, all of it in memory. Run by `tests.peers`.

It listens on loopback and prints one JSON line with its address, then one for every token it gives
out. The path /agree/USER_CODE is the person of the device flow; /authorize agrees by itself, or
denies where the query has `deny`.
"""

import json
import os
import secrets
import sys
import threading
import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialDict,
)
from flask import Flask, redirect, request
from werkzeug.serving import make_server

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

app = Flask("authorization-server")
codes: dict[str, Any] = {}
refreshing: dict[str, Any] = {}
devices: dict[str, Any] = {}
agreed: dict[str, Any] = {}
asked: dict[str, float] = {}


class Client(ClientMixin):
    """`desktop` is public; `web` has a secret in the body, `web-basic` one as HTTP Basic."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return ""

    def get_allowed_scope(self, scope):
        return " ".join(one for one in (scope or "").split() if one != "admin")

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri.startswith("http://127.0.0.1:")

    def check_client_secret(self, client_secret):
        return self.client_id.startswith("web") and client_secret == "the-secret-of-the-client"

    def check_endpoint_auth_method(self, method, endpoint):
        ways = {"web": "client_secret_post", "web-basic": "client_secret_basic"}
        return method == ways.get(self.client_id, "none")

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return True


class Code:
    """An authorization code."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class Refresh(Code):
    """A refresh token."""

    def check_client(self, client):
        return client.client_id == self.client_id


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_secret_basic", "none"]

    def save_authorization_code(self, code, request):
        data = request.payload.data
        codes[code] = Code(
            code=code,
            client_id=request.client.client_id,
            redirect_uri=request.payload.redirect_uri,
            scope=request.payload.scope,
            user="ann",
            code_challenge=data.get("code_challenge"),
            code_challenge_method=data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found is not None and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code):
        del codes[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class RefreshGrant(grants.RefreshTokenGrant):
    """Each refresh token is good once."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_secret_basic", "none"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token):
        return refreshing.get(refresh_token)

    def authenticate_user(self, refresh_token):
        return "ann"

    def revoke_old_credential(self, refresh_token):
        del refreshing[refresh_token.code]


class DeviceEndpoint(DeviceAuthorizationEndpoint):
    CLIENT_AUTH_METHODS = ["client_secret_post", "client_secret_basic", "none"]
    INTERVAL = 1

    def get_verification_uri(self):
        return request.url_root + "agree"

    def save_device_credential(self, client_id, scope, data):
        devices[data["device_code"]] = DeviceCredentialDict(
            {**data, "client_id": client_id, "scope": scope, "expires_at": time.time() + 60}
        )


class DeviceGrant(DeviceCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "client_secret_basic", "none"]

    def query_device_credential(self, device_code):
        return devices.get(device_code)

    def query_user_grant(self, user_code):
        return ("ann", agreed[user_code]) if user_code in agreed else None

    def should_slow_down(self, credential):
        before, asked[credential["device_code"]] = asked.get(credential["device_code"]), 1
        return before is None


def save_token(token, request):
    refreshing[token["refresh_token"]] = Refresh(
        code=token["refresh_token"], client_id=request.client.client_id, scope=token["scope"]
    )
    print(json.dumps({"heard": dict(token)}), flush=True)


def generate(client, grant_type, user=None, scope=None, **_):
    return {
        "token_type": "Bearer",
        "access_token": f"access-{secrets.token_urlsafe(24)}",
        "refresh_token": f"refresh-{secrets.token_urlsafe(24)}",
        "expires_in": 3600,
        "scope": client.get_allowed_scope(scope),
    }


server = AuthorizationServer(
    app,
    query_client=lambda name: Client(name) if name in ("desktop", "web", "web-basic") else None,
    save_token=save_token,
)
server.register_token_generator("default", generate)
server.register_grant(CodeGrant, [CodeChallenge(required=True)])
server.register_grant(DeviceGrant)
server.register_grant(RefreshGrant)
server.register_endpoint(DeviceEndpoint)


@app.get("/authorize")
def authorize():
    try:
        grant = server.get_consent_grant(end_user="ann")
    except OAuth2Error as exc:
        return f"{exc.error}: {exc.description}", 400
    return server.create_authorization_response(
        grant_user=None if "deny" in request.args else "ann", grant=grant
    )


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/device")
def device():
    return server.create_endpoint_response(DeviceEndpoint.ENDPOINT_NAME)


@app.get("/agree/<user_code>/<answer>")
def agree(user_code, answer):
    agreed[user_code] = answer == "yes"
    return "thank you"


@app.post("/moved")
def moved():
    return redirect("/token", 307)


@app.post("/huge")
def huge():
    return "x" * 4_000_000


if __name__ == "__main__":
    listening = make_server("127.0.0.1", 0, app, threaded=True)
    print(json.dumps({"url": f"http://127.0.0.1:{listening.port}"}), flush=True)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    for _ in sys.stdin:
        pass
