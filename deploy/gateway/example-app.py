#!/usr/bin/env python3
"""An app that has no sign-in of its own, to see Doorpost stand in front of one: python3 example-app.py

It believes what Remote-User and Remote-Email say, for only a proxy that has asked Doorpost can reach it: it listens on
the loopback address. A page for whoever is signed in, a page at /admin/ for which a proxy of deploy/gateway demands a
recent password or passkey, and a clock by WebSocket.
"""

import base64
import hashlib
import html
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

ADDRESS = ("127.0.0.1", 9000)
SIGN_OUT = "https://login.example.org/sign-out?next=https://app.example.org/"

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>An app</title>
<style>body {{ font: 1.1rem/1.5 sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
<nav><a href="/">The board</a> · <a href="/admin/">Write on it</a> · <a href="{sign_out}">Sign out</a></nav>
{body}
"""

BOARD = """<h1>Hello, {email}</h1>
<p>On the board: <strong>{notice}</strong></p>
<p>You are <code>{user}</code>, by {method}, at {since}. The time is <output id="clock">not known</output>.</p>
<script>
new WebSocket("wss://" + location.host + "/clock").onmessage = (tick) => clock.textContent = tick.data;
</script>"""

ADMIN = """<h1>Write on the board</h1>
<form method="post" action="/admin/">
<label for="notice">Notice</label> <input id="notice" name="notice" value="{notice}" required maxlength="200">
<button>Write</button>
</form>"""


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    notice = "nothing yet"

    def do_GET(self):
        if self.path == "/clock" and "Sec-WebSocket-Key" in self.headers:
            self.clock()
        elif self.path == "/":
            self.answer(BOARD, email=self.who("Email"), user=self.who("User"), method=self.who("Auth-Method"), since=self.since())
        elif self.path.startswith("/admin/"):
            self.answer(ADMIN)
        else:
            self.answer("<h1>There is no such page</h1>", status=404)

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        # Doorpost says who sends a form, not that they meant to: that it is one of its own is for an app to see.
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            self.answer("<h1>That form is not one of ours</h1>", status=403)
        else:
            App.notice = "{} ({})".format(form.get("notice", [""])[0], self.headers["Remote-Email"])
            self.send_response(303)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def who(self, what):
        """What Doorpost says of the visitor: of one on a page that is open to everybody, nothing."""
        return self.headers.get("Remote-" + what, "somebody")

    def since(self):
        seconds = int(self.headers.get("Remote-Auth-Time", 0))
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%H:%M:%S UTC")

    def answer(self, body, status=200, **values):
        values = {name: html.escape(value) for name, value in {"notice": self.notice, **values}.items()}
        page = PAGE.format(sign_out=SIGN_OUT, body=body.format(**values)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        # After signing out, the way back in the browser is to show nothing.
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(page)

    def clock(self):
        """Doorpost was asked once, before it began: it goes on ticking for whoever signs out meanwhile."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                tick = datetime.now(timezone.utc).strftime("%H:%M:%S").encode()
                self.wfile.write(bytes([0x81, len(tick)]) + tick)
                time.sleep(1)
        except OSError:
            pass


if __name__ == "__main__":
    ThreadingHTTPServer(ADDRESS, App).serve_forever()
