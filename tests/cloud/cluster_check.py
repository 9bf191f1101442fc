"""cluster_check.py CLUSTER.YAML...: ParallelCluster's own schema and validators, against moto's server (AWS_ENDPOINT_URL).

For each file a line `FILE: LEVEL NAME: MESSAGE` for each finding, then `FILE: accepted` or `FILE: refused`. Exit code 1 if one is refused.
Three validators are left out because moto cannot answer them: its dry runs want `ebs` also for ephemeral volumes, and its key pairs have no type.
"""
import loopback  # the first of all: what follows must not ask AWS itself

import sys

import marshmallow
import yaml
from pcluster.aws.common import AWSClientError
from pcluster.config.common import TypeMatchValidatorsSuppressor
from pcluster.schemas.cluster_schema import ClusterSchema
from pcluster.validators.common import ValidatorContext

LEFT_OUT = {"HeadNodeLaunchTemplateValidator", "ComputeResourceLaunchTemplateValidator", "KeyPairValidator"}


def leaves(messages, path=""):
    """The messages of a ValidationError, by the place in the file."""
    if not isinstance(messages, dict):
        for message in messages if isinstance(messages, list) else [messages]:
            yield path or "/", message
        return
    for name, inner in messages.items():
        yield from leaves(inner, f"{path}/{name}")


def findings_of(source):
    try:
        cluster = ClusterSchema(cluster_name="dtrain").load(source)
    except marshmallow.ValidationError as error:
        return [("ERROR", f"schema {place}", message) for place, message in leaves(error.messages)]
    try:
        results = cluster.validate({TypeMatchValidatorsSuppressor(LEFT_OUT)}, ValidatorContext())
    except AWSClientError as error:  # a validator did not expect that
        return [("ERROR", error.function_name, str(error))]
    return [(result.level.name, result.validator_type, result.message) for result in results]


def main(paths):
    refused = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            found = findings_of(yaml.safe_load(file))
        for level, name, message in found:
            print(f"{path}: {level} {name}: {' '.join(str(message).split())}")
        wrong = any(level == "ERROR" for level, _, _ in found)
        refused += wrong
        print(f"{path}: {'refused' if wrong else 'accepted'}")
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    loopback.check_variables()
    main(sys.argv[1:])
