"""Fills an S3 server: a bucket of files, a user with a key of its own, and from then on every request needs a key."""

import json
import pathlib
import sys
import urllib.request

import boto3

address, folder = sys.argv[1], pathlib.Path(sys.argv[2])
anyone = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1", "endpoint_url": address}
s3 = boto3.client("s3", **anyone)
s3.create_bucket(Bucket="tide")
for path in sorted(folder.rglob("*")):
    if path.is_file():
        s3.upload_file(str(path), "tide", str(path.relative_to(folder)))
iam = boto3.client("iam", **anyone)
iam.create_user(UserName="reader")
allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=json.dumps(allowed))
key = iam.create_access_key(UserName="reader")["AccessKey"]
request = urllib.request.Request(f"{address}/moto-api/reset-auth", data=b"0", method="POST", headers={"Content-Type": "text/plain"})
urllib.request.urlopen(request).read()
print(json.dumps({"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}))
