"""The parts of AWS that `dtrain plan` asks, on 127.0.0.1, for tests: spot prices and offerings (EC2), prices on demand, quotas, a role (IAM), and the
endpoints that give credentials to containers and instances. It computes each signature itself, from the documentation of Signature Version 4.

    python3 aws_server.py FOLDER

It writes FOLDER/port, and a line `KEY SERVICE REGION ACTION CODE` for each request to FOLDER/requests; `GET PATH CODE` for those without a signature.
FOLDER/keys.json has the keys: {KEY: {"secret": ..., "token": ... or null}}. FOLDER/mode, which a test may change at any time, controls the
answers; its words are all optional:

    throttle=N       the first N requests since this word was first seen are refused: too many
    broken=N         the first N connections are closed without an answer
    deny=ACTION      the credentials may not do this
    clock=SECONDS    this server's clock is so far ahead
    garbage          every answer is a hotel's page
    hang             no answer
    mangle=N         answers have wrong bytes, others for each N
    endless          every page of prices names a next one
    no_role, no_offer, zero_quota, default_quota

It ends after ten minutes at the latest.
"""
import datetime
import email.utils
import hashlib
import hmac
import http.server
import json
import os
import random
import sys
import threading
import time
import urllib.parse

folder = sys.argv[1]
counts = {}  # word of the mode: how many requests it has refused
lock = threading.Lock()
DATA = {
    # type: {zone: USD/h}
    "spot": {"g5.xlarge": {"us-east-1a": "0.5100", "us-east-1b": "0.4800", "us-east-2a": "0.4400"},
             "p4d.24xlarge": {"us-east-1a": "7.0000", "us-east-1c": "13.5000"}},
    # (type, region): USD/h
    "on demand": {("g5.xlarge", "us-east-1"): "1.0060000000", ("g5.xlarge", "us-east-2"): "1.0060000000",
                  ("p4d.24xlarge", "us-east-1"): "20.5000000000"},
    "quotas": {"L-DB2E81BA": 64.0, "L-3819A6DF": 64.0, "L-417A185B": 96.0, "L-7212CCBC": 96.0, "L-C4BD4855": 192.0},
}
NEXT = "page+/=&%% \u00fc<%d>"  # a token that must be encoded


def mode():
    try:
        with open(os.path.join(folder, "mode")) as f:
            words = f.read().split()
    except FileNotFoundError:
        words = []
    return dict(w.split("=", 1) if "=" in w else (w, "1") for w in words)


def is_refused(m, word):
    """Whether this request is one of the first N that `word` refuses."""
    with lock:
        seen = counts.get((word, m.get(word)), 0)
        counts[(word, m.get(word))] = seen + 1
    return seen < int(m.get(word, 0))


def keys():
    with open(os.path.join(folder, "keys.json")) as f:
        return json.load(f)


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Refused(Exception):
    def __init__(self, status, code, message):
        self.status, self.code, self.message = status, code, message


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "aws"
    wbufsize = 65536  # one packet for an answer
    who = "-"

    def note(self, what):
        with lock, open(os.path.join(folder, "requests"), "a") as f:
            f.write(what + "\n")

    def answer(self, code, text, kind="text/xml"):
        body = bytearray(text.encode())
        if "mangle" in self.mode and body:
            numbers = random.Random(self.mode["mangle"])
            for _ in range(numbers.randrange(1, 4)):
                body[numbers.randrange(len(body))] = numbers.randrange(256)
        self.send_response_only(code)
        self.send_header("Date", email.utils.formatdate(self.now(), usegmt=True))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def now(self):
        return time.time() + float(self.mode.get("clock", 0))

    def check_signature(self, body):
        """Returns the service and the region of the signature; raises Refused."""
        words = self.headers.get("Authorization", "")
        if not words.startswith("AWS4-HMAC-SHA256 "):
            raise Refused(403, "MissingAuthenticationToken", "no signature")
        parts = dict(p.strip().split("=", 1) for p in words.split(" ", 1)[1].split(","))
        key, day, region, service, end = parts["Credential"].split("/")
        self.who = key
        known = keys().get(key)
        if not known or end != "aws4_request":
            raise Refused(403, "InvalidClientTokenId", "no such key")
        if known.get("token") and self.headers.get("X-Amz-Security-Token") != known["token"]:
            raise Refused(403, "InvalidClientTokenId", "not its token")
        signed = parts["SignedHeaders"].split(";")
        for name in ["host"] + [h.lower() for h in self.headers if h.lower().startswith("x-amz-")]:
            if name not in signed:
                raise Refused(403, "SignatureDoesNotMatch", name + " is not signed")
        stamp = self.headers["X-Amz-Date"]
        signed_at = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        url = urllib.parse.urlsplit(self.path)
        query = "&".join(sorted("%s=%s" % (urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                                for k, v in urllib.parse.parse_qsl(url.query, keep_blank_values=True)))
        canonical = "\n".join([self.command, urllib.parse.quote(url.path, safe="/-_.~"), query,
                               "".join("%s:%s\n" % (h, " ".join(self.headers[h].split())) for h in signed),
                               ";".join(signed), hashlib.sha256(body).hexdigest()])
        scope = "/".join([day, region, service, end])
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        secret = ("AWS4" + known["secret"]).encode()
        for part in (day, region, service, end):
            secret = mac(secret, part)
        if signed != sorted(signed) or not stamp.startswith(day) or mac(secret, to_sign).hex() != parts["Signature"]:
            # Real services repeat the text, which has the token in it.
            raise Refused(403, "SignatureDoesNotMatch", "it is another\n\nThe Canonical String was\n" + canonical)
        if abs(self.now() - signed_at) > 300:
            raise Refused(403, "SignatureDoesNotMatch", "Signature expired: %s is too old" % stamp)
        return service, region

    def do_POST(self):
        self.mode = m = mode()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, region, action, code = "-", "-", "-", 200
        try:
            if "hang" in m:
                time.sleep(600)
            if is_refused(m, "broken"):
                code = "broken"
                self.close_connection = True
                return
            service, region = self.check_signature(body)
            target = self.headers.get("X-Amz-Target", "")
            form = dict(urllib.parse.parse_qsl(body.decode())) if not target else json.loads(body)
            action = target.split(".")[-1] if target else form.get("Action", "-")
            if is_refused(m, "throttle"):
                raise Refused(503, "RequestLimitExceeded", "slower") if not target else Refused(400, "ThrottlingException", "slower")
            if m.get("deny") == action:
                raise Refused(*{"ec2": (403, "UnauthorizedOperation"), "iam": (403, "AccessDenied")}.get(service, (400, "AccessDeniedException")), "not you")
            if "garbage" in m:
                self.answer(200, "<html><body>welcome</body></html>")
            else:
                kind = "application/x-amz-json-1.1" if target else "text/xml"
                self.answer(200, getattr(self, "do_" + action)(service, region, form), kind)
        except Refused as r:
            code = r.status
            if service in ("pricing", "servicequotas") or self.headers.get("X-Amz-Target"):
                self.answer(r.status, json.dumps({"__type": "com.amazonaws.x#" + r.code, "message": r.message}), "application/x-amz-json-1.1")
            elif service == "iam":
                self.answer(r.status, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>" % (r.code, r.message))
            else:
                self.answer(r.status, '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors>'
                            "<RequestID>1</RequestID></Response>" % (r.code, r.message))
        finally:
            self.note("%s %s %s %s %s" % (self.who, service, region, action, code))

    def listed(self, form, name):
        return [v for k, v in form.items() if k.startswith(name + ".")]

    def page(self, rows, form, size):
        """The rows of the page that the form asks for, and the element with the next token."""
        begin = 0
        if "NextToken" in form:
            begin = next((i for i in range(len(rows) + 1) if NEXT % i == form["NextToken"]), -1)
            if begin < 0:
                raise Refused(400, "InvalidNextToken", "not a token of this server")
        end = begin + size
        if "endless" in self.mode:
            end = begin
        more = NEXT % end if end < len(rows) else ""
        return rows[begin:begin + size], "<nextToken>%s</nextToken>" % more.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def do_DescribeSpotPriceHistory(self, service, region, form):
        rows = []
        for kind in self.listed(form, "InstanceType"):
            for zone, price in DATA["spot"].get(kind, {}).items():
                if zone.startswith(region):
                    rows += [(kind, zone, "Linux/UNIX", price), (kind, zone, "Linux/UNIX", "99.0"), (kind, zone, "Windows", "98.0")]
        rows, more = self.page(rows, form, 2)
        return ('<?xml version="1.0" encoding="UTF-8"?>\n<DescribeSpotPriceHistoryResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">\n'
                "<requestId>1</requestId><spotPriceHistorySet>%s</spotPriceHistorySet>%s</DescribeSpotPriceHistoryResponse>" % ("".join(
                    "\n  <item><instanceType>%s</instanceType><productDescription>%s</productDescription><spotPrice>%s</spotPrice>"
                    "<timestamp>2026-01-01T00:00:00.000Z</timestamp><availabilityZone>%s</availabilityZone></item>" % (k, d, p, z) for k, z, d, p in rows), more))

    def do_DescribeInstanceTypeOfferings(self, service, region, form):
        assert form["Filter.1.Name"] == "instance-type" and form["LocationType"] == "availability-zone"
        zones = [z for z in reversed(DATA["spot"].get(form["Filter.1.Value.1"], {})) if z.startswith(region) and "no_offer" not in self.mode]
        rows, more = self.page(zones, form, 1)
        return ('<DescribeInstanceTypeOfferingsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><instanceTypeOfferingSet>%s</instanceTypeOfferingSet>%s'
                "</DescribeInstanceTypeOfferingsResponse>" % ("".join("<item><instanceType>%s</instanceType><locationType>availability-zone</locationType>"
                                                                      "<location>%s</location></item>" % (form["Filter.1.Value.1"], z) for z in rows), more))

    def do_DescribeAvailabilityZones(self, service, region, form):
        """us-east-1a is use1-az6, us-east-1b is use1-az5, ..."""
        short = region[:2] + region.split("-")[1][0] + region[-1]
        return ('<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><availabilityZoneInfo>%s</availabilityZoneInfo>'
                "</DescribeAvailabilityZonesResponse>" % "".join(
                    "<item><zoneState>available</zoneState><regionName>%s</regionName><zoneName>%s%s</zoneName><zoneId>%s-az%d</zoneId></item>" %
                    (region, region, z, short, 6 - i) for i, z in enumerate("abcdef")))

    def do_GetProducts(self, service, region, form):
        wanted = {f["Field"]: f["Value"] for f in form["Filters"]}
        assert wanted["operatingSystem"] == "Linux" and wanted["tenancy"] == "Shared" and wanted["capacitystatus"] == "Used"
        price = DATA["on demand"].get((wanted["instanceType"], wanted["regionCode"]))

        def product(market, usd, unit="Hrs"):
            return json.dumps({"product": {"productFamily": "Compute Instance", "attributes": dict(wanted, marketoption=market), "sku": "A"},
                               "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": {"unit": unit, "pricePerUnit": {"USD": usd}}}}},
                                         "Reserved": {"A.D": {"priceDimensions": {"A.D.E": {"unit": "Hrs", "pricePerUnit": {"USD": "0.1"}}}}}}})
        products = [product("CapacityBlock", "0.2"), product("OnDemand", "0.0000000000"), product("OnDemand", price)] if price else []
        first = "NextToken" not in form
        return json.dumps(dict({"FormatVersion": "aws_v1", "PriceList": products[:2] if first else products[2:]}, **({"NextToken": NEXT % 2} if first and price else {})))

    def do_GetServiceQuota(self, service, region, form):
        if "default_quota" in self.mode or form["QuotaCode"] not in DATA["quotas"]:
            raise Refused(400, "NoSuchResourceException", "no such quota")
        return json.dumps({"Quota": {"QuotaCode": form["QuotaCode"], "Value": 0.0 if "zero_quota" in self.mode else DATA["quotas"][form["QuotaCode"]]}})

    def do_GetAWSDefaultServiceQuota(self, service, region, form):
        return json.dumps({"Quota": {"QuotaCode": form["QuotaCode"], "Value": 8.0}})

    def do_GetRole(self, service, region, form):
        if "no_role" in self.mode:
            raise Refused(404, "NoSuchEntity", "the role is not there")
        return ('<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><Path>/aws-service-role/spot.amazonaws.com/</Path>'
                "<RoleName>%s</RoleName></Role></GetRoleResult></GetRoleResponse>" % form["RoleName"])

    # Credentials of containers and instances.
    def do_PUT(self):
        self.mode = mode()
        self.answer(200, "IMDS-TOKEN", "text/plain")

    def do_GET(self):
        self.mode = mode()
        code, text = 404, ""
        role = "/latest/meta-data/iam/security-credentials/"

        def give(key, token_name):
            return json.dumps({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": keys()[key]["secret"], token_name: keys()[key]["token"],
                               "Expiration": self.mode.get("expires", "2099-01-01T00:00:00Z")})
        if self.path == "/container?a=b" and self.headers.get("Authorization") == "Bearer abc":
            code, text = 200, give("AKIDCONTAINER", "Token")
        elif self.headers.get("X-aws-ec2-metadata-token") == "IMDS-TOKEN" and self.path == role and "no_instance_role" not in self.mode:
            code, text = 200, "the-role"
        elif self.headers.get("X-aws-ec2-metadata-token") == "IMDS-TOKEN" and self.path == role + "the-role":
            code, text = 200, give("AKIDINSTANCE", "Token")
        self.note("GET %s %d" % (self.path, code))
        self.answer(code, text, "text/plain")

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(os.path.join(folder, "port.new"), "w") as f:
    f.write("%d\n" % server.server_address[1])
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
threading.Timer(600, lambda: os._exit(1)).start()
server.serve_forever()
