"""Make what cluster/aws.yaml needs in an AWS account, once: two roles and a security group.

    python cluster/prepare_aws.py --ssh-from 203.0.113.7/32 --bucket my-bucket

Run it again to change the bucket or to add a range; `--remove` takes everything away again. The
security group admits SSH from the given range and, from inside, its own members; nothing else.
The launcher's own default would admit SSH from everywhere and give the head every right on EC2
and S3.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.exceptions import ClientError

CLUSTER = yaml.safe_load((Path(__file__).parent / "aws.yaml").read_text())
NAME: str = CLUSTER["cluster_name"]
HEAD, NODE = f"{NAME}-head", f"{NAME}-node"
ASSUME = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def main() -> None:
    """Make everything, or remove it."""
    arguments = _arguments()
    region = CLUSTER["provider"]["region"]
    ec2, iam = boto3.client("ec2", region), boto3.client("iam", region)
    if arguments.remove:
        remove(ec2, iam)
        return
    account = boto3.client("sts", region).get_caller_identity()["Account"]
    group = make_group(ec2, arguments.vpc or default_vpc(ec2), arguments.ssh_from)
    runs = read_and_write(arguments.bucket)
    make_role(iam, NODE, [runs])
    make_role(iam, HEAD, [runs, *start_nodes(region, account, group)])
    with passing("InvalidInput", "EntityAlreadyExists"):  # spot instances were used before
        iam.create_service_linked_role(AWSServiceName="spot.amazonaws.com")
    print(f"roles {HEAD} and {NODE} may use s3://{arguments.bucket}/{NAME}/ and no other bucket")
    print(f"the group admits SSH from {arguments.ssh_from}; put it into cluster/aws.yaml:")
    print(f"      SecurityGroupIds: &group [{group}]")


def read_and_write(bucket: str) -> dict[str, Any]:
    """Rights on the prefix of the runs, and to list the bucket."""
    return {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{NAME}/*"],
    }


def start_nodes(region: str, account: str, group: str) -> list[dict[str, Any]]:
    """Rights of the autoscaler: nodes of this cluster, in this group, with the nodes' role."""
    arn = f"arn:aws:ec2:{region}:{account}"
    parts = ("subnet", "network-interface", "volume", "key-pair", "spot-instances-request")
    used = [f"{arn}:{part}/*" for part in parts]
    used += [f"{arn}:security-group/{group}", f"arn:aws:ec2:{region}::image/*"]
    instance = f"{arn}:instance/*"
    new = {"StringEquals": {"aws:RequestTag/ray-cluster-name": NAME}}
    launching = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    mine = {"StringEquals": {"aws:ResourceTag/ray-cluster-name": NAME}}
    images = f"arn:aws:ssm:{region}::parameter/aws/service/deeplearning/*"
    return [
        allow("ec2:Describe*", "*"),
        allow("ec2:RunInstances", instance, new),
        allow("ec2:RunInstances", used),
        allow("ec2:CreateTags", instance, launching),
        allow(["ec2:CreateTags", "ec2:TerminateInstances"], instance, mine),
        allow("iam:PassRole", f"arn:aws:iam::{account}:role/{NODE}"),
        allow("ssm:GetParameters", images),
    ]


def allow(
    actions: str | list[str], resources: str | list[str], condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One statement of a policy."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return statement | ({"Condition": condition} if condition else {})


def make_role(iam: Any, name: str, statements: list[dict[str, Any]]) -> None:
    """A role that instances can take, with exactly these rights."""
    with passing("EntityAlreadyExists"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(ASSUME))
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    with passing("EntityAlreadyExists"):
        iam.create_instance_profile(InstanceProfileName=name)
    with passing("LimitExceeded"):  # the profile has its role already
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def make_group(ec2: Any, vpc: str, ssh_from: str) -> str:
    """A security group that admits SSH from a range and everything from its own members."""
    group = find_group(ec2, vpc)
    if group is None:
        made = ec2.create_security_group(GroupName=NAME, VpcId=vpc, Description="Ray cluster")
        group = str(made["GroupId"])
    ssh = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": ssh_from, "Description": "the launcher"}],
    }
    inside = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    for rule in (ssh, inside):
        with passing("InvalidPermission.Duplicate"):
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    return group


def find_group(ec2: Any, vpc: str | None = None) -> str | None:
    """The id of our group, if it is there."""
    filters = [{"Name": "group-name", "Values": [NAME]}]
    if vpc:
        filters.append({"Name": "vpc-id", "Values": [vpc]})
    found = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
    return str(found[0]["GroupId"]) if found else None


def default_vpc(ec2: Any) -> str:
    """The network that every account begins with."""
    filters = [{"Name": "is-default", "Values": ["true"]}]
    found = ec2.describe_vpcs(Filters=filters)["Vpcs"]
    if not found:
        sys.exit("prepare_aws: this region has no default VPC; name one with --vpc")
    return str(found[0]["VpcId"])


def remove(ec2: Any, iam: Any) -> None:
    """Take away what this script made. Buckets stay as they are."""
    for name in (HEAD, NODE):
        with passing("NoSuchEntity"):
            iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
            iam.delete_instance_profile(InstanceProfileName=name)
            iam.delete_role_policy(RoleName=name, PolicyName=name)
            iam.delete_role(RoleName=name)
    if group := find_group(ec2):
        ec2.delete_security_group(GroupId=group)
    print(f"the roles {HEAD} and {NODE} and the group {NAME} are gone")


@contextmanager
def passing(*codes: str) -> Iterator[None]:
    """Let errors of a service pass that say: what was to be done is done already."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ssh-from", type=_range, help="range that may reach SSH: 203.0.113.7/32")
    parser.add_argument("--bucket", help="S3 bucket of the runs, which must exist")
    parser.add_argument("--vpc", help="network; the default is the region's default VPC")
    parser.add_argument("--remove", action="store_true", help="take everything away again")
    arguments = parser.parse_args()
    if not arguments.remove and not (arguments.ssh_from and arguments.bucket):
        parser.error("give --ssh-from and --bucket, or --remove")
    return arguments


def _range(text: str) -> str:
    network = ipaddress.ip_network(text)
    if network.prefixlen < 8:
        raise argparse.ArgumentTypeError(f"{text} is half the internet; name your own addresses")
    return str(network)


if __name__ == "__main__":
    main()
