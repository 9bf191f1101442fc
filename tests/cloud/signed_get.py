"""signed_get.py TARGET [HEADER:VALUE...]: a GET whose path and query go over the wire as they are and are signed as they are, by botocore, with the key of
the environment. A header that begins with ! is added after that. Prints the status."""
import loopback  # the first of all

import http.client
import os
import sys
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def main(target, *headers):
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    fields = [header.split(":", 1) for header in headers]
    request = AWSRequest("GET", endpoint + target, headers={name: value for name, value in fields if name[0] != "!"})
    key = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(key, "s3", "us-east-1").add_auth(request)
    added = {name[1:]: value for name, value in fields if name[0] == "!"}
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc)
    connection.request("GET", target, headers={**dict(request.headers.items()), **added})
    print(connection.getresponse().status)


if __name__ == "__main__":
    main(*sys.argv[1:])
