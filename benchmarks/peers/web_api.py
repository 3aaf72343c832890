"""The HTTP answers the chat libraries ask for before they dial. web_api.py HTTP_PORT WS_PORT"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

http_port, ws_port = map(int, sys.argv[1:])
USER = {"id": "100", "username": "bot", "discriminator": "0000", "avatar": None, "bot": True}
USER |= {"flags": 0, "global_name": None}
TEAM = {"ok": True, "url": "https://x.slack.com/", "team": "t", "user": "bot", "team_id": "T1"}
APPLICATION = {"id": "100", "name": "app", "icon": None, "description": "", "rpc_origins": []}
APPLICATION |= {"bot_public": True, "bot_require_code_grant": False, "terms_of_service_url": ""}
APPLICATION |= {"privacy_policy_url": "", "owner": USER, "summary": "", "verify_key": "x"}
ANSWERS = {
    "apps.connections.open": {"ok": True, "url": f"ws://127.0.0.1:{ws_port}/"},
    "auth.test": TEAM | {"user_id": "UB", "bot_id": "B1", "app_id": "A1"},
    "users/@me": USER,
    "applications/@me": APPLICATION | {"team": None, "flags": 0},
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = next((a for key, a in ANSWERS.items() if key in self.path), {"ok": True})
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing: the output belongs to the benchmark."""


class Server(ThreadingHTTPServer):
    # slack_bolt asks for each of the first 64 messages at once. With the default of 5 the kernel
    # would have to send most of them again, seconds later.
    request_queue_size = 512
    daemon_threads = True


Server(("127.0.0.1", http_port), Handler).serve_forever()
