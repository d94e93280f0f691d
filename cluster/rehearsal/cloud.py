"""A cloud in the machine room: moto answers for AWS, and every instance is a host."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import boto3

from rehearsal.hosts import NETWORK, OUTSIDE, MachineRoom

ENDPOINT = f"http://{OUTSIDE}:5000"
CREDENTIALS = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "rehearsal",
    "AWS_SECRET_ACCESS_KEY": "rehearsal",
}
BUCKET = "my-bucket"  # the one in aws.yaml
ALIVE = ("pending", "running")


class Cloud:
    """Starts moto, and a host for each instance that is asked for; ends it with the instance."""

    def __init__(self, room: MachineRoom, region: str) -> None:
        self.room, self.region = room, region
        self.seen: dict[str, dict[str, Any]] = {}
        self._closing = threading.Event()

    def __enter__(self) -> Cloud:
        with (self.room.state / "moto.log").open("wb") as log:
            self._server = subprocess.Popen(
                [f"{sys.prefix}/bin/moto_server", "-H", OUTSIDE, "-p", "5000"],
                stdout=log,
                stderr=log,
            )
        self.ec2 = self._connect()
        self.s3 = boto3.client("s3", self.region)
        where: Any = {"LocationConstraint": self.region}
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        self.subnet, self.vpc = self._make_network()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._watcher.join()
        self._server.terminate()
        self._server.wait()

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """Instances, of all states or of these."""
        answer = self.ec2.describe_instances()["Reservations"]
        found = [instance for group in answer for instance in group["Instances"]]
        return [one for one in found if not states or one["State"]["Name"] in states]

    def objects(self) -> list[str]:
        """What lies in the bucket of the runs: sizes and names."""
        found = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [f"{one['Size']:9,} bytes {one['Key']}" for one in found]

    def overlay(self) -> dict[str, Any]:
        """What of a cluster's file is replaced here: network and key."""
        public = (self.room.state / "key.pub").read_bytes()
        self.ec2.import_key_pair(KeyName="rehearsal", PublicKeyMaterial=public)
        where: Any = [{"Name": "vpc-id", "Values": [self.vpc]}]
        groups = self.ec2.describe_security_groups(Filters=where)["SecurityGroups"]
        network = {
            "SubnetIds": [self.subnet],
            "SecurityGroupIds": [one["GroupId"] for one in groups if one["GroupName"] != "default"],
            "KeyName": "rehearsal",
        }
        return {
            "provider": {"use_internal_ips": True},
            "auth": {"ssh_private_key": str(self.room.state / "key")},
            "available_node_types": {
                name: {"node_config": network} for name in ("head", "learner", "worker")
            },
        }

    def _connect(self) -> Any:
        for _ in range(100):
            try:
                client = boto3.client("ec2", self.region)
                client.describe_vpcs()
                return client
            except Exception as error:
                reason = error
                time.sleep(0.2)
        sys.exit(f"moto does not answer: {reason}")

    def _make_network(self) -> tuple[str, str]:
        vpc = self.ec2.create_vpc(CidrBlock=f"{NETWORK}.0/24")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock=f"{NETWORK}.0/24")["Subnet"]
        return subnet["SubnetId"], vpc

    def _watch(self) -> None:
        while not self._closing.wait(0.5):
            for instance in self.instances():
                self._follow(instance)

    def _follow(self, instance: dict[str, Any]) -> None:
        key, state = instance["InstanceId"], instance["State"]["Name"]
        before = self.seen.get(key)
        if before is None and state in ALIVE:
            self.seen[key] = instance
            self.room.start(instance["PrivateIpAddress"])
            print(f"cloud: {describe(instance)} started", flush=True)
        elif before is not None and before["State"]["Name"] in ALIVE and state not in ALIVE:
            self.seen[key] = before | {"State": instance["State"]}
            self.room.stop(before["PrivateIpAddress"])
            print(f"cloud: {describe(before)} ended", flush=True)


def describe(instance: dict[str, Any]) -> str:
    """Which node an instance is, in a line."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
    market = instance.get("InstanceLifecycle", "on demand")
    kind, address = tags.get("ray-user-node-type", "?"), instance["PrivateIpAddress"]
    return f"{kind} node ({instance['InstanceType']}, {market}, {address})"
