"""moto_server.py FOLDER: moto's server on a free port of 127.0.0.1, as strict as S3 in what tests of `dtrain stage` are about.

FOLDER/port has its port once it listens. FOLDER/requests has a line for each request: method, status, key id ("-": not signed), bytes of the
answer, its range ("-": none), and the path as it was sent. It ends after half an hour by itself.

moto checks signatures after the first INITIAL_NO_AUTH_ACTION_COUNT requests, or after a POST of a number to /moto-api/reset-auth. What is
stricter here, as S3 documents it:
- The signature is that of the path and the query as S3 writes them (upper-case escapes of all but A-Z a-z 0-9 - . _ ~ and the path's /, sorted);
  moto takes the client's own.
- Each header x-amz-* of a signed request is signed.
- A request without a signature may do what the bucket's policy allows to everybody; moto fails in such a request.
- Who reads from a bucket whose name begins with "pays-" must say x-amz-request-payer: requester; moto does not know such buckets.
- Keys may have line feeds, which moto's routes and policies do not know.
- HEAD also says when a checksum is one of checksums (a -N after it), as moto's GET does.
"""
import fnmatch
import os
import sys
import threading
from urllib.parse import quote, unquote_to_bytes

from moto.core.authorization import ActionAuthenticatorMixin
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto import settings
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
import moto_network
import moto.s3.models
from moto.moto_server.utilities import RegexConverter
from moto.s3.exceptions import BucketAccessDeniedError, S3SignatureDoesNotMatchError
from moto.s3.responses import S3Response
from werkzeug.serving import WSGIRequestHandler, make_server

MOST_S = 1800


def canonical(target):
    """The path and query of a request, as its signature has them."""
    path, _, query = target.partition("?")
    text = quote(unquote_to_bytes(path), safe="/-_.~")
    pairs = []
    for pair in query.split("&") if query else []:
        name, _, value = pair.partition("=")
        pairs.append("=".join(quote(unquote_to_bytes(part.replace("+", " ")), safe="-_.~") for part in (name, value)))
    return text + ("?" + "&".join(sorted(pairs)) if pairs else "")


def everybody_may(response, resource):
    try:
        bucket = moto.s3.models.s3_backends[response.current_account][response.partition].get_bucket(response.bucket_name)
    except Exception:
        return False
    return bucket.get_permission("s3:" + response._get_action(), resource) == PermissionResult.PERMITTED


def strict(check):
    def authorize(self, request_class, resource="*"):
        if ActionAuthenticatorMixin.request_count < settings.INITIAL_NO_AUTH_ACTION_COUNT or not hasattr(self, "bucket_name"):
            return check(self, request_class, resource)
        authorization = self.headers.get("Authorization")
        if authorization is None:
            if everybody_may(self, resource):
                return None
            raise BucketAccessDeniedError(bucket=self.bucket_name)
        signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if any(name.lower().startswith("x-amz-") and name.lower() not in signed for name, _ in self.headers.items()):
            raise S3SignatureDoesNotMatchError()
        path = canonical(self.request.environ["RAW_URI"])
        return check(self, lambda **request: request_class(**{**request, "path": path}), resource)

    return authorize


def also_line_feeds(init):
    def init_converter(self, *arguments):
        init(self, *arguments)
        self.regex = f"(?s:{self.regex})"

    return init_converter


def policy_matches(pattern, text):
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def with_number_of_parts(head_object):
    def answer(self, bucket_name, query, key_name, headers):
        status, fields, body = head_object(self, bucket_name, query, key_name, headers)
        key = self.backend.head_object(bucket_name, key_name) if status == 200 else None
        if key is not None and key.checksum_type == "COMPOSITE":
            fields.update({name: f"{value}-{key.checksum_parts}" for name, value in fields.items() if name == f"x-amz-checksum-{key.checksum_algorithm.lower()}"})
        return status, fields, body

    return answer


class Gate:
    """Around moto's application: the log of requests, and buckets whose readers pay."""

    def __init__(self, application, log):
        self.application = application
        self.log = log
        self.lock = threading.Lock()

    def write(self, environ, status, headers):
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        key = authorization.partition("Credential=")[2].partition("/")[0] or "-"
        length = dict((name.lower(), value) for name, value in headers).get("content-length", "-")
        line = (environ["REQUEST_METHOD"], status.split()[0], key, length, environ.get("HTTP_RANGE", "-").replace(" ", ""), environ["RAW_URI"])
        with self.lock:
            self.log.write(" ".join(line) + "\n")
            self.log.flush()

    def __call__(self, environ, start_response):
        def start(status, headers, *more):
            self.write(environ, status, headers)
            return start_response(status, headers, *more)

        if environ["RAW_URI"].startswith("/pays-") and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            if environ.get("HTTP_X_AMZ_REQUEST_PAYER") != "requester":
                body = b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
                start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
                return [body]
        return self.application(environ, start)


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        pass


def main(folder):
    IAMPolicyStatement._match = staticmethod(policy_matches)
    S3Response.head_object = with_number_of_parts(S3Response.head_object)
    RegexConverter.__init__ = also_line_feeds(RegexConverter.__init__)
    ActionAuthenticatorMixin._authenticate_and_authorize_action = strict(ActionAuthenticatorMixin._authenticate_and_authorize_action)
    moto_network.complete()
    with open(os.path.join(folder, "requests"), "w", encoding="utf-8") as log:
        server = make_server("127.0.0.1", 0, Gate(DomainDispatcherApplication(create_backend_app), log), threaded=True, request_handler=Quiet)
        with open(os.path.join(folder, "port.new"), "w", encoding="utf-8") as file:
            file.write(str(server.server_port))
        os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
        timer = threading.Timer(MOST_S, lambda: os._exit(1))
        timer.daemon = True
        timer.start()
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
