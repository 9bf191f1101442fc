"""loopback.py: import it first. It ends a program whose clients of AWS would ask another host than this one: first by the variables of botocore, then
by each connection and each name that is looked up."""
import ipaddress
import os
import socket
import sys
from urllib.parse import urlsplit


def is_loopback(host):
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse(text):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {text}; nothing was asked")


def check_variables():
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if not endpoint:
        refuse("AWS_ENDPOINT_URL is not set, so that AWS itself would be asked")
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        refuse("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true, so that AWS itself would be asked")
    for name, value in os.environ.items():
        if name.startswith("AWS_ENDPOINT_URL") and not is_loopback(urlsplit(value).hostname or ""):
            refuse(f"{name} is {value}, which is not an address of this machine")


def only_to_loopback(function, host_of):
    def checked(*arguments, **named):
        host = host_of(arguments, named)
        if host and not is_loopback(host):
            raise PermissionError(f"a test may not ask {host}")
        return function(*arguments, **named)

    return checked


def connected_host(arguments, _):
    connection, address = arguments[0], arguments[1]
    return address[0] if connection.family in (socket.AF_INET, socket.AF_INET6) else None


check_variables()
socket.socket.connect = only_to_loopback(socket.socket.connect, connected_host)
socket.socket.connect_ex = only_to_loopback(socket.socket.connect_ex, connected_host)
socket.getaddrinfo = only_to_loopback(socket.getaddrinfo, lambda arguments, named: arguments[0] if arguments else named.get("host"))
