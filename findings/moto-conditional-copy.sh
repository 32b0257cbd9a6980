#!/usr/bin/env bash
# guess:   a local S3 that refuses a conditional PUT and a conditional multipart upload refuses a conditional copy too:
#          `If-None-Match: *` means "only if the key is free" for all three.
# with:    moto 5.2.5 (`moto[server]`), boto3 1.44.8
# happens: CopyObject takes the condition, says 200 and replaces the object. A lock or a commit that is made by copying
#          passes its tests although two writers win.
# seen:
#   | PutObject: 412 PreconditionFailed, the key holds b'first'
#   | CompleteMultipartUpload: 412 PreconditionFailed, the key holds b'first'
#   | CopyObject: 200, the key holds b'other'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-cache-dir "moto[server]==5.2.5" boto3==1.44.8 || exit 2

cat >"$folder/probe.py" <<'PY'
import logging

import boto3
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

logging.disable(logging.CRITICAL)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
s3 = boto3.client(
    "s3",
    endpoint_url=f"http://{host}:{port}",
    region_name="us-east-1",
    aws_access_key_id="any",
    aws_secret_access_key="any",
)
place = {"Bucket": "bucket", "Key": "key"}
free = {"IfNoneMatch": "*"}


def tried(name, request):
    s3.put_object(**place, Body=b"first")
    try:
        said = request()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        said = f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    print(f"{name}: {said}, the key holds {s3.get_object(**place)['Body'].read()}")


def multipart():
    upload = s3.create_multipart_upload(**place)["UploadId"]
    part = s3.upload_part(**place, PartNumber=1, UploadId=upload, Body=b"other")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    return s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=parts, **free)


s3.create_bucket(Bucket="bucket")
s3.put_object(Bucket="bucket", Key="source", Body=b"other")
tried("PutObject", lambda: s3.put_object(**place, Body=b"other", **free))
tried("CompleteMultipartUpload", multipart)
tried("CopyObject", lambda: s3.copy_object(**place, CopySource="bucket/source", **free))
server.stop()
PY
seen=$(cd "$folder" && timeout 120 venv/bin/python probe.py 2>/dev/null)
echo "$seen"
diff <(sed -n 's/^#   | //p' "$0") <(echo "$seen")
