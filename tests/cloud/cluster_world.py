"""cluster_world.py REGION BUCKET KEY SCRIPT: what a user has in the account before `pcluster create-cluster`: the bucket with the bootstrap SCRIPT, the
key pair, and two subnets in one zone. Prints PRIVATE-SUBNET PUBLIC-SUBNET ZONE."""
import loopback  # the first of all

import os
import sys

import boto3


def main(region, bucket, key, script):
    s3 = boto3.client("s3", region_name=region)
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **where)
    s3.upload_file(script, bucket, "dtrain/" + os.path.basename(script))
    ec2 = boto3.client("ec2", region_name=region)
    ec2.create_key_pair(KeyName=key)
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    public = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][0]
    private = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.128.0/20", AvailabilityZone=public["AvailabilityZone"])["Subnet"]
    print(private["SubnetId"], public["SubnetId"], public["AvailabilityZone"])


if __name__ == "__main__":
    main(*sys.argv[1:])
