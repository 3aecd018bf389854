"""The least that a run must be allowed: one IAM policy, with the real ARNs in it."""

import json
from typing import Any

from commands.setup.look import Job


def run_policy(job: Job) -> str:
    """The policy as JSON, indented."""
    settings, secret = job.settings, job.secret
    statements: list[dict[str, Any]] = []
    if secret_id := settings.secret_id:
        named = secret_id
        if not secret_id.startswith("arn:"):
            # AWS ends the ARN of a new secret with six random characters.
            named = _arn(job, "secretsmanager", f"secret:{secret_id}-??????")
        statements.append(_allow("secretsmanager:GetSecretValue", secret.arn if secret else named))
    if secret and secret.kms_key_id:
        statements.append(_decrypt(job, secret.kms_key_id))
    if not settings.endpoint_url:  # the run looks its Timestream endpoint up
        statements.append(_allow("timestream:DescribeEndpoints", "*"))
    table = _arn(job, "timestream", f"database/{settings.database}/table/{settings.table}")
    statements.append(_allow("timestream:WriteRecords", table))
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _allow(action: str, resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def _arn(job: Job, service: str, resource: str) -> str:
    partition = job.identity_arn.split(":")[1]  # aws, aws-us-gov, aws-cn
    return f"arn:{partition}:{service}:{job.account.region}:{job.number}:{resource}"


def _decrypt(job: Job, key_id: str) -> dict[str, Any]:
    """The secret's own key, through Secrets Manager only.

    Source: AWS KMS, Using aliases to control access: an alias cannot be the resource of a policy.
    """
    via = f"secretsmanager.{job.account.region}.amazonaws.com"
    condition: dict[str, Any] = {"StringEquals": {"kms:ViaService": via}}
    alias = key_id.rpartition(":")[2]
    if alias.startswith("alias/"):
        condition["ForAnyValue:StringEquals"] = {"kms:ResourceAliases": alias}
        key_id = "*"
    key = key_id if key_id.startswith("arn:") else _arn(job, "kms", f"key/{key_id}")
    return {**_allow("kms:Decrypt", key), "Condition": condition}
