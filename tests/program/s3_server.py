"""A store that speaks S3's protocol, on 127.0.0.1 (or S3_SERVER_ADDRESS), for tests: listings (ListObjectsV2), objects, ranges, checksums. It computes each signature itself,
from the documentation of Signature Version 4, and misbehaves as it is told.

    python3 s3_server.py FOLDER                              serves; ends after ten minutes at the latest
    python3 s3_server.py FOLDER content BUCKET KEY           writes an object to its standard output
    python3 s3_server.py FOLDER sums BUCKET PREFIX           a line `CRC32 BYTES KEY` for each object, in the order of a listing; KEY percent-encoded
    python3 s3_server.py FOLDER compare BUCKET PREFIX DIR    compares DIR/NAME with each object PREFIX + NAME; prints what differs (but not in DIR/.dtrain-stage)

With FOLDER/cert.pem and FOLDER/key.pem it speaks HTTPS. It writes FOLDER/port, and a line `KEY-ID METHOD BUCKET KEY RANGE CODE` for each request to FOLDER/requests (KEY as in the address; `-`: none; LIST is a
method here; CREDENTIALS is a request for those). FOLDER/keys.json has the keys: {KEY-ID: {"secret": ..., "token": ... or null}}.

FOLDER/objects.json is a list of objects, which a test may change at any time:

    {"bucket": "b", "key": "k", "text": "..."}               its bytes (UTF-8); "file": those of this file
    {"bucket": "b", "key": "k", "bytes": N, "seed": S}       N bytes that are computed, also billions of them; "%d" in a key and "count": C: C objects
    ... "checksum": "crc32"|"crc32c"|"crc64nvme"|"composite"|"none", "etag": "md5"|"parts", "version": V  another content and another ETag

FOLDER/mode, which a test may change at any time, controls the answers; its words are all optional. N counts the requests for listings and objects since
the word was first seen with this value:

    throttle=N error=N many=N   the first N are refused: 503 SlowDown, 500 InternalError, 429
    broken=N                    the first N connections are closed without an answer
    cut=N stall=N               the first N bodies are cut, or stop, after half of their bytes
    short=N                     the first N bodies are shorter than what was asked for, and say so
    corrupt=N                   the first N bodies have a wrong byte
    change=N                    from the request N on all objects have another content and another ETag
    parallel=N                  more than N requests at a time are refused: 503 SlowDown
    latency=SECONDS rate=BYTES  each answer comes so late; a connection brings so many bytes a second
    region=NAME                 the buckets are in this region (us-east-1)
    deny=LIST|GET|HEAD          the credentials may not do this
    deny_key=KEY                no key may read this object
    public                      requests need no signature
    payer                       requests must say that the requester pays
    no_range                    ranges are ignored
    page=N                      of a listing (1000)
    clock=SECONDS               this server's clock is so far ahead
    garbage hang                every answer is a hotel's page; no answer
    mangle=N                    listings and refusals have wrong bytes, others for each N
    lifetime=SECONDS            credentials from /credentials expire so soon
    uses=N                      they are good for N requests, whatever their time
"""
import base64
import datetime
import email.utils
import hashlib
import hmac
import http.server
import json
import os
import random
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import zlib

folder = sys.argv[1]
lock = threading.Lock()
counts = {}   # word of the mode: how many requests have been counted for it
given = {}    # key id from /credentials: [until, uses left]
at_work = 0
BLOCK = random.Random(1).randbytes((4 << 20) - 3)
TWICE = memoryview(BLOCK + BLOCK)
LISTING = "LIST"


def mode():
    try:
        with open(os.path.join(folder, "mode")) as f:
            words = f.read().split()
    except FileNotFoundError:
        words = []
    return dict(w.split("=", 1) if "=" in w else (w, "1") for w in words)


def count(m, word):
    """The number of this request, from 0, since the word was first seen with its value."""
    with lock:
        seen = counts.get((word, m[word]), 0)
        counts[(word, m[word])] = seen + 1
    return seen


def is_first(m, word):
    return word in m and count(m, word) < int(m[word])


# Objects.
def table(polynomial, bits):
    rows = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (polynomial if i & 1 else 0)
        rows.append(i)
    return rows, (1 << bits) - 1


CRCS = {"crc32c": (table(0x82F63B78, 32), 4), "crc64nvme": (table(0x9A6C9329AC4BC9B5, 64), 8)}


def slow_crc(name, data):
    (rows, ones), size = CRCS[name]
    crc = ones
    for byte in data:
        crc = rows[(crc ^ byte) & 255] ^ (crc >> 8)
    return (crc ^ ones).to_bytes(size, "big")


class Object:
    def __init__(self, spec, key, number, version):
        self.spec, self.key, self.sums = spec, key, {}
        self.text = spec["text"].encode() if "text" in spec else None
        if "file" in spec:
            with open(spec["file"], "rb") as f:
                self.text = f.read()
        self.version = version
        if self.text is not None and version:
            self.text = bytes((b + version) % 256 for b in self.text)
        self.bytes = len(self.text) if self.text is not None else spec["bytes"]
        self.shift = random.Random("%s %s %s %s" % (spec.get("seed", 0), number, key, version)).randrange(len(BLOCK))

    def pieces(self, offset, n):
        """The bytes from `offset` on, n of them, in pieces."""
        if self.text is not None:
            yield memoryview(self.text)[offset:offset + n]
            return
        while n > 0:
            start = (self.shift + offset) % len(BLOCK)
            piece = TWICE[start:start + min(n, len(BLOCK))]
            yield piece
            offset += len(piece)
            n -= len(piece)

    def sum(self, name):
        if name not in self.sums:
            if name == "md5":
                h = hashlib.md5()
                for piece in self.pieces(0, self.bytes):
                    h.update(piece)
                self.sums[name] = h.hexdigest()
            elif name == "crc32":
                crc = 0
                for piece in self.pieces(0, self.bytes):
                    crc = zlib.crc32(piece, crc)
                self.sums[name] = base64.b64encode(crc.to_bytes(4, "big")).decode()
            elif name == "composite":
                self.sums[name] = "AAAAAA==-2"
            else:
                self.sums[name] = base64.b64encode(slow_crc(name, b"".join(self.pieces(0, self.bytes)))).decode()
        return self.sums[name]

    def etag(self):
        kind = self.spec.get("etag", "md5" if self.bytes <= 1 << 20 else "parts")
        if kind == "md5":
            return '"%s"' % self.sum("md5")
        return '"%s-%d"' % (hashlib.md5(("%s %d %d" % (self.key, self.bytes, self.version)).encode()).hexdigest(), 2 + self.bytes // (8 << 20))


class Store:
    """objects.json, read again when it has changed."""

    def __init__(self):
        self.stamp, self.buckets, self.sorted, self.version = None, {}, {}, 0

    def load(self, version=0):
        path = os.path.join(folder, "objects.json")
        with lock:
            stamp = (os.stat(path).st_mtime_ns, os.stat(path).st_ino, version)
            if stamp != self.stamp:
                with open(path) as f:
                    specs = json.load(f)
                buckets = {}
                for spec in specs:
                    bucket = buckets.setdefault(spec["bucket"], {})
                    for i in range(spec.get("count", 1)):
                        if "key" in spec:
                            key = spec["key"] % i if "count" in spec else spec["key"]
                            bucket[key] = Object(spec, key, i, spec.get("version", 0) + version)
                self.buckets = buckets
                self.sorted = {name: sorted(b.values(), key=lambda o: o.key.encode()) for name, b in buckets.items()}
                self.stamp = stamp
        return self


store = Store()


def keys():
    with open(os.path.join(folder, "keys.json")) as f:
        return json.load(f)


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Refused(Exception):
    def __init__(self, status, code, message, more="", headers=None):
        self.status, self.code, self.message, self.more, self.headers = status, code, message, more, headers or {}


class Closed(Exception):
    pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "s3"
    wbufsize = 65536
    disable_nagle_algorithm = True
    who = "-"

    def log_message(self, *args):
        pass

    def note(self, what, bucket, key, code):
        span = self.headers.get("Range", "-") if self.headers else "-"
        with lock, open(os.path.join(folder, "requests"), "a") as f:
            f.write("%s %s %s %s %s %s\n" % (self.who, what, bucket or "-", urllib.parse.quote(key or "-", safe="/-_.~", errors="surrogateescape"),
                                             span.replace(" ", ""), code))

    def now(self):
        return time.time() + float(self.mode.get("clock", 0))

    def head(self, code, headers):
        self.send_response_only(code)
        self.send_header("Date", email.utils.formatdate(self.now(), usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, code, text, headers=None, kind="application/xml"):
        body = bytearray(text.encode())
        if "mangle" in self.mode and body:
            numbers = random.Random(self.mode["mangle"])
            for _ in range(numbers.randrange(1, 4)):
                body[numbers.randrange(len(body))] = numbers.randrange(256)
        self.head(code, dict({"Content-Type": kind, "Content-Length": str(len(body))}, **(headers or {})))
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def check_signature(self, path, query):
        """The region of the signature; raises Refused."""
        words = self.headers.get("Authorization", "")
        if not words and "public" in self.mode:
            return None
        if not words.startswith("AWS4-HMAC-SHA256 "):
            raise Refused(403, "AccessDenied", "Access Denied")
        parts = dict(p.strip().split("=", 1) for p in words.split(" ", 1)[1].split(","))
        key, day, region, service, end = parts["Credential"].split("/")
        self.who = key
        known = keys().get(key) or given.get(key)
        if not known or end != "aws4_request" or service != "s3":
            raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        if self.headers.get("X-Amz-Security-Token") != known.get("token"):
            raise Refused(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
        signed = parts["SignedHeaders"].split(";")
        for name in ["host"] + [h.lower() for h in self.headers if h.lower().startswith("x-amz-")]:
            if name not in signed:
                raise Refused(403, "AccessDenied", "There were headers present in the request which were not signed", "<HeadersNotSigned>%s</HeadersNotSigned>" % name)
        content = self.headers.get("X-Amz-Content-Sha256")
        if content not in ("UNSIGNED-PAYLOAD", hashlib.sha256(b"").hexdigest()):
            raise Refused(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        stamp = self.headers["X-Amz-Date"]
        signed_at = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        names = sorted((urllib.parse.quote(urllib.parse.unquote_to_bytes(k), safe="-_.~"), urllib.parse.quote(urllib.parse.unquote_to_bytes(v), safe="-_.~"))
                       for k, v in (p.partition("=")[::2] for p in query.split("&") if p))
        canonical = "\n".join([self.command, urllib.parse.quote(urllib.parse.unquote_to_bytes(path), safe="/-_.~"), "&".join("%s=%s" % n for n in names),
                               "".join("%s:%s\n" % (h, " ".join(self.headers[h].split())) for h in signed), ";".join(signed), content])
        scope = "/".join([day, region, service, end])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        secret = ("AWS4" + known["secret"]).encode()
        for part in (day, region, service, end):
            secret = mac(secret, part)
        if signed != sorted(signed) or not stamp.startswith(day) or not hmac.compare_digest(mac(secret, to_sign).hex(), parts["Signature"]):
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.",
                          "<CanonicalRequest>%s</CanonicalRequest>" % escape(canonical))
        if abs(self.now() - signed_at) > 900:
            raise Refused(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
        if key in given:
            with lock:
                g = given[key]
                g["uses"] -= 1
                if time.time() > g["until"] or g["uses"] < 0:
                    raise Refused(400, "ExpiredToken", "The provided token has expired.")
        return region

    def give_credentials(self):
        with lock:
            name = "AKIDGIVEN%d" % (len(given) + 1)
            until = int(time.time() + float(self.mode.get("lifetime", 3600)))  # as it is told
            given[name] = {"secret": "NEVERSHOW" + name, "token": "NEVERSHOW/+=" + name, "until": until, "uses": float(self.mode.get("uses", "inf"))}
        self.who = name
        self.answer(200, json.dumps({"AccessKeyId": name, "SecretAccessKey": given[name]["secret"], "Token": given[name]["token"],
                                     "Expiration": datetime.datetime.fromtimestamp(until, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}), kind="application/json")
        self.note("CREDENTIALS", None, None, 200)

    def check_faults(self, m):
        if "hang" in m:
            time.sleep(600)
        if "latency" in m:
            time.sleep(float(m["latency"]))
        if is_first(m, "broken"):
            raise Closed
        if is_first(m, "error"):
            raise Refused(500, "InternalError", "We encountered an internal error. Please try again.")
        if is_first(m, "many"):
            raise Refused(429, "TooManyRequests", "slower")
        if is_first(m, "throttle") or at_work > int(m.get("parallel", 1 << 30)):
            raise Refused(503, "SlowDown", "Please reduce your request rate.")

    def do_GET(self):
        global at_work
        self.mode = m = mode()
        if self.path == "/credentials":
            return self.give_credentials()
        path, _, query = self.path.partition("?")
        bucket, _, key = urllib.parse.unquote_to_bytes(path[1:]).partition(b"/")
        bucket, key = bucket.decode(), key.decode(errors="surrogateescape")
        what, code = (self.command if key else LISTING), 200
        self.who = "-"
        with lock:
            at_work += 1
        try:
            self.check_faults(m)
            region, own = self.check_signature(path, query), m.get("region", "us-east-1")
            version = 1 if "change" in m and count(m, "change") >= int(m["change"]) else 0
            objects = store.load(version)
            if bucket not in objects.buckets:
                raise Refused(404, "NoSuchBucket", "The specified bucket does not exist", "<BucketName>%s</BucketName>" % escape(bucket))
            if region is not None and region != own:
                raise Refused(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region '%s' is wrong; expecting '%s'" % (region, own),
                              "<Region>%s</Region>" % own, {"x-amz-bucket-region": own})
            if m.get("deny") == what or (key and m.get("deny_key") == key) or ("payer" in m and self.headers.get("X-Amz-Request-Payer") != "requester"):
                raise Refused(403, "AccessDenied", "Access Denied")
            if "garbage" in m:
                self.answer(200, "<html><body>welcome<br></body></html>", kind="text/html")
            elif what == LISTING:
                self.list(objects.sorted[bucket], dict(urllib.parse.parse_qsl(query, keep_blank_values=True, errors="surrogateescape")))
            elif key not in objects.buckets[bucket]:
                raise Refused(404, "NoSuchKey", "The specified key does not exist.", "<Key>%s</Key>" % escape(key))
            else:
                code = self.send_object(objects.buckets[bucket][key])
        except Refused as r:
            code = r.status
            self.answer(code, '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message>%s<RequestId>1</RequestId></Error>' %
                        (r.code, escape(r.message), r.more), r.headers)
        except (Closed, BrokenPipeError, ConnectionResetError):
            code = "broken"
            self.close_connection = True
        finally:
            with lock:
                at_work -= 1
            self.note(what, bucket, key, code)

    do_HEAD = do_GET

    def list(self, objects, form):
        assert form.get("list-type") == "2" and form.get("encoding-type") == "url", form
        prefix, size = form.get("prefix", ""), int(self.mode.get("page", 1000))
        objects = [o for o in objects if o.key.startswith(prefix)]
        start = int(base64.b64decode(form["continuation-token"]).split(b"+/=")[1]) if "continuation-token" in form else 0
        end = start + size
        token = base64.b64encode(b"\xff\xef\xbe+/=%d+/=" % end).decode() if end < len(objects) else ""

        def url(text):
            return urllib.parse.quote_plus(text, safe="/-_.*", errors="surrogateescape")
        rows = "".join("<Contents><Key>%s</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>%s</ETag><Size>%d</Size>"
                       "<StorageClass>STANDARD</StorageClass></Contents>\n" % (url(o.key), o.etag().replace('"', "&quot;"), o.bytes) for o in objects[start:end])
        self.answer(200, '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>%s</Prefix>%s'
                    "<KeyCount>%d</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>%s</IsTruncated>%s</ListBucketResult>" %
                    (url(prefix), "<NextContinuationToken>%s</NextContinuationToken>" % token if token else "", len(objects[start:end]), "true" if token else "false", rows))

    def send_object(self, o):
        m, start, end, code = self.mode, 0, o.bytes, 200
        span = self.headers.get("Range")
        match = self.headers.get("If-Match")
        if match and match != o.etag():
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", "<Condition>If-Match</Condition>")
        headers = {"ETag": o.etag(), "Accept-Ranges": "bytes", "Content-Type": "binary/octet-stream", "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if span and "no_range" not in m:
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, end, code = int(first), min(int(last) + 1 if last else o.bytes, o.bytes), 206
            if start >= o.bytes:
                raise Refused(416, "InvalidRange", "The requested range is not satisfiable")
        if self.command == "GET" and is_first(m, "short") and end - start > 1:
            end -= (end - start) // 2
        if code == 206:
            headers["Content-Range"] = "bytes %d-%d/%d" % (start, end - 1, o.bytes)
        kind = o.spec.get("checksum", "none")
        if kind != "none" and self.headers.get("X-Amz-Checksum-Mode") == "ENABLED" and not span:
            headers["x-amz-checksum-" + ("crc32" if kind == "composite" else kind)] = o.sum(kind)
        headers["Content-Length"] = str(end - start)
        self.head(code, headers)
        if self.command == "HEAD":
            return code
        self.send_body(o, start, end)
        return code

    def send_body(self, o, start, end):
        m = self.mode
        stop = start + (end - start) // 2
        ends_early = "cut" if is_first(m, "cut") else "stall" if is_first(m, "stall") else None
        wrong = start + (end - start) // 3 if is_first(m, "corrupt") else -1
        rate, began, sent = float(m.get("rate", 0)), time.monotonic(), 0
        self.wfile.flush()
        for piece in o.pieces(start, (stop if ends_early else end) - start):
            step = 65536 if rate else len(piece) or 1
            for i in range(0, len(piece), step):
                part = piece[i:i + step]
                if start + sent <= wrong < start + sent + len(part):
                    part = bytearray(part)
                    part[wrong - start - sent] ^= 1
                self.connection.sendall(part)
                sent += len(part)
                if rate:
                    time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        if ends_early == "stall":
            for _ in range(1200):  # until the client leaves
                time.sleep(0.05)
                try:
                    if not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                        break
                except (BlockingIOError, ValueError):
                    pass
        if ends_early:
            raise Closed


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        kind = sys.exc_info()[0]
        if not issubclass(kind, (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def compare(bucket, prefix, root):
    """Prints the names that are missing, differ, or are too many; returns whether there are any."""
    wrong, seen = [], set()
    for key, o in store.load().buckets[bucket].items():
        if not key.startswith(prefix) or key.endswith("/"):
            continue
        name = key[len(prefix):]
        path = os.path.join(root, name)
        seen.add(os.path.normpath(path))
        try:
            with open(path, "rb") as f:
                same = os.fstat(f.fileno()).st_size == o.bytes and all(f.read(len(piece)) == piece for piece in o.pieces(0, o.bytes))
            if not same:
                wrong.append("differs: " + name)
        except OSError as e:
            wrong.append("missing: %s (%s)" % (name, e.strerror))
    for where, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f != ".dtrain-stage"]
        wrong += ["too many: " + os.path.join(where, f) for f in files if os.path.normpath(os.path.join(where, f)) not in seen]
    print("\n".join(wrong))
    return bool(wrong)


def main():
    if sys.argv[2:3] == ["content"]:
        o = store.load().buckets[sys.argv[3]][sys.argv[4]]
        for piece in o.pieces(0, o.bytes):
            sys.stdout.buffer.write(piece)
        return
    if sys.argv[2:3] == ["sums"]:
        for o in store.load().sorted[sys.argv[3]]:
            if o.key.startswith(sys.argv[4]):
                print("%s %d %s" % (base64.b64decode(o.sum("crc32")).hex(), o.bytes, urllib.parse.quote(o.key, safe="/-_.~", errors="surrogateescape")))
        return
    if sys.argv[2:3] == ["compare"]:
        sys.exit(compare(*sys.argv[3:6]))
    server = Server((os.environ.get("S3_SERVER_ADDRESS", "127.0.0.1"), 0), Handler)
    if os.path.exists(os.path.join(folder, "cert.pem")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(os.path.join(folder, "port.new"), "w") as f:
        f.write(str(server.server_address[1]))
    os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
    time.sleep(600)


main()
