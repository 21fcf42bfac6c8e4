#!/usr/bin/env python3
"""A ticket system for tests, in a process of its own: HTTP or HTTPS, on a free port of loopback.

    ticket_system.py [--certificate FILE --key FILE] [--trust FILE]

The first line it prints is {"port": N}; then a line for each request it got, each answer it sent and what came of that.
What it does is the first part of the path, or with /by-ticket what stands before the colon in the ticket ID.
"""

import argparse
import json
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

options = None
lock = threading.Lock()
seen = []


def say(**line):
    with lock:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def answer(fields, **parameters):
    """Posts an answer to the site, as an integration does, and tells what the site said."""
    body = urllib.parse.urlencode({key.replace("__", "."): value for key, value in parameters.items()}).encode()
    context = ssl.create_default_context(cafile=options.trust) if options.trust else None
    request = urllib.request.Request(fields["response_url"], data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as response:
            say(answered=response.status, body=response.read().decode())
    except urllib.error.HTTPError as error:
        say(answered=error.code, body=error.read().decode())
    except OSError as error:
        say(answered=0, body=str(error))


def later(what, fields):
    own = fields["request_id"]
    if what == "allow":
        answer(fields, response_id=own, response="allow", session__custom__external_key=fields["ticket_id"].split(":")[-1])
    elif what == "allow-plain":
        answer(fields, response_id=own, response="allow")
    elif what == "alias":
        answer(fields, request_id=own, response="allow")
    elif what == "deny":
        answer(fields, response_id=own, response="deny", message="Change not approved")
    elif what == "deny-silent":
        answer(fields, response_id=own, response="deny")
    elif what == "nonsense":
        answer(fields, response_id=own, response="perhaps")
    elif what == "twice":
        answer(fields, response_id=own, response="deny", message="first")
        answer(fields, response_id=own, response="allow")
    elif what == "crossed":
        answer(fields, response_id="0" * len(own), response="allow")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        pairs = urllib.parse.parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True, strict_parsing=True)
        fields = dict(pairs)
        url = urllib.parse.urlsplit(self.path)
        what = url.path.strip("/").split("/")[0]
        if what == "by-ticket":
            what = fields["ticket_id"].split(":")[0]
        with lock:
            seen.append(fields)
        say(method="POST", path=self.path, type=self.headers.get("Content-Type"), pairs=pairs,
            headers=sorted(name.lower() for name in self.headers))
        self.close_connection = True
        if what == "hang":
            time.sleep(3600)
        elif what == "drip":
            try:
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 3600:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                say(cut=True)
        elif what == "redirect":
            target = urllib.parse.parse_qs(url.query)["to"][0]
            self.reply(int(url.path.strip("/").split("/")[1]), location=target)
        elif what == "large":
            self.send_response(200)
            self.send_header("Content-Length", str(100 * 1024 * 1024))
            self.end_headers()
            sent = 0
            try:
                for _ in range(1600):
                    self.wfile.write(b"x" * 65536)
                    sent += 65536
            except OSError:
                pass
            say(sent=sent)
        elif what == "status":
            self.reply(int(url.path.strip("/").split("/")[1]))
        elif what == "close":
            self.connection.close()
        else:
            self.reply(200)
            threading.Thread(target=later, args=(what, fields), daemon=True).start()

    def do_GET(self):
        say(method="GET", path=self.path)
        self.reply(200)

    def reply(self, status, location=None):
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        say(trouble=str(sys.exc_info()[1]))


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--trust")
    options = parser.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    say(port=server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Whoever started it holds its standard input: it ends with them.
    sys.stdin.read()


main()
