"""The interpreter, the imports and the two clients of `bare_script.py`, and no I/O: the floor."""

import json  # noqa: F401
import os  # noqa: F401
from io import BytesIO  # noqa: F401
from urllib.parse import urlencode  # noqa: F401

import boto3
import pycurl  # noqa: F401

boto3.client("secretsmanager")
boto3.client("timestream-write")
