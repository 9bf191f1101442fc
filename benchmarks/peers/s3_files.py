#!/usr/bin/env python3
"""s3_files.py FOLDER PORT N_SMALL SMALL_BYTES N_LARGE LARGE_BYTES [CERTIFICATE KEY]: two buckets for nginx, whose answers are those of S3.

FOLDER/objects/small and .../large have the objects, FOLDER/pages the answers to ListObjectsV2 (1,000 keys each), FOLDER/nginx.conf the server's
configuration. Small objects have a CRC32, as those have that a current AWS command line or SDK has written; large ones, written in parts, have none
for a range. Objects of a bucket that are larger than a megabyte are links to one file.
"""
import base64
import os
import random
import sys
import zlib

PAGE = 1000
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
OBJECT = ("<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>"
          "<StorageClass>STANDARD</StorageClass></Contents>")

CONFIGURATION = """
{user}
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    open_file_cache max=20000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ }}
    map_hash_max_size 65536;
    map_hash_bucket_size 128;
    map $args $page {{
        default first;
        "~(^|&)continuation-token=(?<token>[a-z0-9]+)" $token;
    }}
    map $uri $crc {{
        default "";
        include {folder}/checksums;
    }}
    server {{
        listen 127.0.0.1:{port}{tls};
        {certificate}
        root {folder}/objects;
        default_type binary/octet-stream;
        add_header x-amz-checksum-crc32 $crc;
        location ~ ^/(?<bucket>small|large)/?$ {{
            root {folder};
            default_type application/xml;
            rewrite ^ /pages/$bucket-$page.xml break;
        }}
    }}
}}
"""


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
    os.utime(path, (1767225600, 1767225600))  # nginx makes its ETag of time and size


def etag(size):
    return f"{1767225600:x}-{size:x}"


def make_objects(folder, bucket, n, size):
    """Returns names and CRC32s."""
    os.makedirs(f"{folder}/objects/{bucket}")
    draw = random.Random(bucket)
    pool = draw.randbytes(size + 4096)
    names, checksums = [], []
    for i in range(n):
        name = f"{i:06}.jpg" if size < 1 << 20 else f"shard-{i:03}.tar"
        path = f"{folder}/objects/{bucket}/{name}"
        if size < 1 << 20:
            start = draw.randrange(4096)
            content = i.to_bytes(8, "big") + pool[start : start + size - 8]
            write(path, content)
            checksums.append(base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode())
        elif i == 0:
            write(path, pool[:size])
        else:
            os.link(f"{folder}/objects/{bucket}/{names[0]}", path)
        names.append(name)
    return names, checksums


def make_pages(folder, bucket, names, size):
    for first in range(0, max(len(names), 1), PAGE):
        chosen = names[first : first + PAGE]
        more = first + PAGE < len(names)
        token = f"<NextContinuationToken>p{first + PAGE}</NextContinuationToken>" if more else ""
        page = HEAD + f"<Name>{bucket}</Name><Prefix></Prefix><KeyCount>{len(chosen)}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
        page += f"<EncodingType>url</EncodingType><IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}"
        page += "".join(OBJECT.format(key=name, etag=etag(size), size=size) for name in chosen) + "</ListBucketResult>"
        write(f"{folder}/pages/{bucket}-{'p%d' % first if first else 'first'}.xml", page.encode())


def main(folder, port, n_small, small_bytes, n_large, large_bytes, certificate="", key=""):
    os.makedirs(f"{folder}/pages")
    with open(f"{folder}/checksums", "w", encoding="ascii") as checksums:
        for bucket, n, size in (("small", int(n_small), int(small_bytes)), ("large", int(n_large), int(large_bytes))):
            names, sums = make_objects(folder, bucket, n, size)
            make_pages(folder, bucket, names, size)
            checksums.writelines(f'"/{bucket}/{name}" "{crc}";\n' for name, crc in zip(names, sums))
    certificate = f"ssl_certificate {certificate}; ssl_certificate_key {key};" if certificate else ""
    with open(f"{folder}/nginx.conf", "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(folder=folder, user="user root;" if os.getuid() == 0 else "", port=port, tls=" ssl" if certificate else "", certificate=certificate))


if __name__ == "__main__":
    main(*sys.argv[1:])
