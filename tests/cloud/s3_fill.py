"""s3_fill.py FOLDER: buckets, users and keys in moto's server for stage_test.sh; then the server checks signatures.

Writes what `dtrain stage` must make of bucket NAME to FOLDER/NAME/, and the keys to FOLDER/keys, for a shell.
"""
import loopback  # the first of all

import json
import os
import random
import shlex
import sys
import urllib.request

import boto3

ODD = ["plain", "a blank", " begins and ends with one ", "plus+", "and&=", "100%", "%41%2F", "ümläut", "日本", "quote'", "(brackets)", "star*", "tilde~", "semi;colon",
       "question?", "hash#", "at@:", "line\nfeed", "tab\t", "back\\slash", "<angle> \"quotes\"", "dots..", "..dots/...", "$HOME`!", "a/deep/er/folder/file",
       "~/home", "-dash", "+/+", "{a}[b]|c^", "n" * 200 + "/" + "m" * 200,
       "two//slashes", "/first", "up/../out", "./here", "../up", "del\x7f"]
# Prefixes whose names no folder has: what lies below them is fetched by naming them.
PREFIXES = ["double//", "up/../", "./", "line\n/"]
MANY = 2300


def path_of(key):
    """Where an object goes below the target, as launch/stage/names.h says."""
    parts = []
    for part in key.split("/"):
        if part in (".", ".."):
            part = part.replace(".", "%2E")
        parts.append("".join(f"%{ord(c):02X}" if ord(c) < 0x20 or ord(c) == 0x7F else c for c in part) or "%2F")
    return "/".join(parts)


def content(name, size):
    return random.Random(name).randbytes(size)


class Filler:
    def __init__(self, folder):
        self.folder = folder
        self.s3 = boto3.client("s3")

    def bucket(self, name):
        self.s3.create_bucket(Bucket=name)

    def put(self, bucket, key, body, path=None, **more):
        self.s3.put_object(Bucket=bucket, Key=key, Body=body, **more)
        path = os.path.join(self.folder, bucket, path or path_of(key))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(body)

    def put_in_parts(self, bucket, key, part_bytes, n_parts, checksum_type):
        """Its ETag is no MD5, and its checksum is of checksums (COMPOSITE) or of all bytes (FULL_OBJECT)."""
        upload = self.s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32", ChecksumType=checksum_type)["UploadId"]
        parts, path = [], os.path.join(self.folder, bucket, key)
        with open(path, "wb") as file:
            for number in range(1, n_parts + 1):
                body = content(f"{key} {number}", part_bytes)
                file.write(body)
                answer = self.s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
                parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]})
        self.s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})

    def fill(self):
        self.bucket("odd")
        for key in ODD:
            self.put("odd", key, content(key, 1000 + len(key)))
        self.bucket("prefixes")
        for prefix in PREFIXES:
            self.put("prefixes", prefix + "file", content(prefix, 2000), path=f"{PREFIXES.index(prefix)}/file")
        self.bucket("many")
        for n in range(MANY):
            self.put("many", f"class {n % 23}/{n:05}.jpg", content(str(n), n * 7 % 300))
        self.bucket("large")
        self.put("large", "in one", content("in one", 40_000_000))
        self.put_in_parts("large", "in parts", 6_000_000, 4, "COMPOSITE")
        self.put_in_parts("large", "in parts with one sum", 6_000_000, 4, "FULL_OBJECT")
        self.put("large", "small", content("small", 110_000))
        for name in ("pays-data", "everybody", "nobody"):
            self.bucket(name)
            for n in range(3):
                self.put(name, f"{n}.bin", content(f"{name} {n}", 50_000))
        allow = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::everybody", "arn:aws:s3:::everybody/*"]}
        self.s3.put_bucket_policy(Bucket="everybody", Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))


def policy(*actions):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]})


def make_keys():
    """A user who may read, one who may only get, and the credentials of a role."""
    iam = boto3.client("iam")
    keys = {}
    for name, actions in (("reader", ("s3:ListBucket", "s3:GetObject")), ("getter", ("s3:GetObject",))):
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy(*actions))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys[f"{name}_id"], keys[f"{name}_secret"] = key["AccessKeyId"], key["SecretAccessKey"]
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName="trainer", PolicyName="trainer", PolicyDocument=policy("s3:ListBucket", "s3:GetObject"))
    assumed = boto3.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="job")["Credentials"]
    keys["role_id"], keys["role_secret"], keys["role_token"] = assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"]
    return keys


def main(folder):
    Filler(folder).fill()
    with open(os.path.join(folder, "keys"), "w", encoding="utf-8") as file:
        for name, value in make_keys().items():
            file.write(f"key[{name}]={shlex.quote(value)}\n")
    urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}, method="POST")).read()


if __name__ == "__main__":
    main(sys.argv[1])
