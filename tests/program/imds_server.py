"""The parts of EC2's instance metadata service that spot instances use: IMDSv2 on 127.0.0.1, for tests.

    python3 imds_server.py FOLDER [PORT]

It writes FOLDER/port, and a line `METHOD PATH CODE` for each request to FOLDER/requests (the code is `late` for a late answer and `none` for none).
FOLDER/mode, which a test may change at any time, controls the answers; its words are all optional:

    notice=SECONDS     spot/instance-action announces a termination so long after this word was first seen
    rebalance          events/recommendations/rebalance exists
    token_s=SECONDS    tokens are refused (401) after so long, whatever lifetime was requested
    slow=SECONDS       answers come late
    hang               no answer
    garbage            every answer is HTML
    fail=CODE          every answer has this code

It ends after ten minutes at the latest.
"""
import datetime
import http.server
import json
import os
import sys
import threading
import time

folder = sys.argv[1]
tokens = {}  # token: when it expires
first_seen = {}  # word: when
lock = threading.Lock()


def mode():
    try:
        with open(os.path.join(folder, "mode")) as f:
            words = f.read().split()
    except FileNotFoundError:
        words = []
    now = time.time()
    for word in words:
        first_seen.setdefault(word, now)
    return {word.split("=")[0]: (float(word.split("=")[1]) if "=" in word else True, first_seen[word]) for word in words}


def utc(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"

    def note(self, what):
        with lock, open(os.path.join(folder, "requests"), "a") as f:
            f.write("%s %s %s\n" % (self.command, self.path, what))

    def answer(self, code, text=""):
        self.note(code)
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def is_out_of_order(self, m):
        """Does what FOLDER/mode says about failures. Returns whether it has answered."""
        if "slow" in m:
            self.note("late")
            time.sleep(m["slow"][0])
        if "hang" in m:
            self.note("none")
            time.sleep(600)
        if "fail" in m:
            self.answer(int(m["fail"][0]), "<html>something is wrong</html>")
        elif "garbage" in m:
            self.answer(200, "<html>\n{\"action\": \"terminate\" welcome to the hotel's network</html>")
        return "fail" in m or "garbage" in m

    def do_PUT(self):
        with lock:
            m = mode()
        if self.is_out_of_order(m):
            return
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token":
            self.answer(404)
        elif not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
            self.answer(400)
        elif "X-Forwarded-For" in self.headers:
            self.answer(403)
        else:
            token = "AQAEA%d==" % len(tokens)
            with lock:
                tokens[token] = time.time() + (m["token_s"][0] if "token_s" in m else int(ttl))
            self.answer(200, token)

    def do_GET(self):
        with lock:
            m = mode()
        if self.is_out_of_order(m):
            return
        if tokens.get(self.headers.get("X-aws-ec2-metadata-token"), 0) < time.time():
            self.answer(401)
        elif self.path == "/latest/meta-data/spot/instance-action" and "notice" in m:
            left, since = m["notice"]
            self.answer(200, json.dumps({"action": "terminate", "time": utc(since + left)}))
        elif self.path == "/latest/meta-data/events/recommendations/rebalance" and "rebalance" in m:
            self.answer(200, json.dumps({"noticeTime": utc(m["rebalance"][1])}))
        else:
            self.answer(404)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
server.daemon_threads = True
with open(os.path.join(folder, "port.new"), "w") as f:
    f.write("%d\n" % server.server_address[1])
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
threading.Timer(600, lambda: os._exit(1)).start()
server.serve_forever()
