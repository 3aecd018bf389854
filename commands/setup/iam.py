"""The least that a run must be allowed: one IAM policy, with the real ARNs in it."""

import json
from collections.abc import Callable
from typing import Any


def run_policy(
    *,
    identity_arn: str,
    account: str,
    region: str,
    secret_id: str,
    secret_arn: str,
    kms_key_id: str,
    database: str,
    table: str,
    discovers: bool,
) -> str:
    """The policy as JSON, indented.

    identity_arn: of anybody in the account, for its partition: aws, aws-us-gov, aws-cn.
    secret_id: "" if no secret is read. secret_arn: "" if there is none yet; AWS ends it with six
    characters of its own choice.
    kms_key_id: ARN, id or alias of the account's own key, "" if the secret is under AWS's.
    discovers: whether the run looks its Timestream endpoint up.
    """
    partition = identity_arn.split(":")[1]

    def arn(service: str, resource: str) -> str:
        return f"arn:{partition}:{service}:{region}:{account}:{resource}"

    statements: list[dict[str, Any]] = []
    if secret_id:
        by_name = arn("secretsmanager", f"secret:{secret_id}-??????")
        named = secret_id if secret_id.startswith("arn:") else by_name
        statements.append(_allow("secretsmanager:GetSecretValue", secret_arn or named))
    if kms_key_id:
        statements.append(_decrypt(kms_key_id, region, arn))
    if discovers:
        statements.append(_allow("timestream:DescribeEndpoints", "*"))
    table_arn = arn("timestream", f"database/{database}/table/{table}")
    statements.append(_allow("timestream:WriteRecords", table_arn))
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _allow(action: str, resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def _decrypt(kms_key_id: str, region: str, arn: Callable[[str, str], str]) -> dict[str, Any]:
    """The secret's own key, through Secrets Manager only.

    Source: AWS KMS, Using aliases to control access: an alias cannot be the resource of a policy.
    """
    alias = kms_key_id.rpartition(":")[2]
    condition: dict[str, Any] = {
        "StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}
    }
    if alias.startswith("alias/"):
        condition["ForAnyValue:StringEquals"] = {"kms:ResourceAliases": alias}
        key = arn("kms", "key/*")
    else:
        key = kms_key_id if kms_key_id.startswith("arn:") else arn("kms", f"key/{kms_key_id}")
    return {**_allow("kms:Decrypt", key), "Condition": condition}
