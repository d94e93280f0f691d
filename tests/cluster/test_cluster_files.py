"""The files of `cluster/`: Ray's own validation, KubeRay's schemas, an AWS account of moto's."""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SCHEMAS = ROOT.parent / "shared/data/kuberay"
LAUNCHER = ["aws.yaml", "gcp.yaml", "local.yaml"]


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / name).read_text())


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """As `ray up` does before it asks for anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_takes_the_file(name: str) -> None:
    validate(load(name))


@pytest.mark.parametrize("name", LAUNCHER)
def test_a_misspelt_key_is_not_taken(name: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_minuets"):
        validate(load(name) | {"idle_timeout_minuets": 5})


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_node_starts_locked_with_ray_from_the_lock(name: str) -> None:
    config = validate(load(name))
    assert config["file_mounts"]["~/.ray/auth_token"].endswith("/.ray/auth_token")
    for kind in ("head", "worker"):
        start = config[f"{kind}_start_ray_commands"][-1]
        assert start.startswith("export RAY_AUTH_MODE=token")
        assert "#" not in start  # it would hide the rest of a folded line
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    commands = [*config["setup_commands"], *config["head_setup_commands"]]
    assert not re.search(r"ray\[|\.whl", " ".join(commands))  # the launcher's default: a nightly


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_learner_and_workers_find_their_nodes_by_label(name: str) -> None:
    config = validate(load(name))
    types = config["available_node_types"]
    assert {key: kind["labels"]["awac-dist/role"] for key, kind in types.items()} == {
        "head": "driver",
        "learner": "learner",
        "worker": "worker",
    }
    assert types["head"]["resources"]["CPU"] == 0
    to_come = int(types["head"]["labels"]["awac-dist/gpus"])
    assert to_come == types["learner"]["resources"].get("GPU", 1)  # AWS tells the launcher itself
    assert types["learner"]["docker"]["worker_image"] != config["docker"]["image"]


def test_a_user_edits_at_most_three_lines_of_the_file_for_aws() -> None:
    text = (CLUSTER / "aws.yaml").read_text()
    assert len(re.findall(r"EDIT(?=: | the )", text)) == 3


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    """`cluster/prepare_aws.py`."""
    path = CLUSTER / "prepare_aws.py"
    specification = importlib.util.spec_from_file_location("prepare_aws", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def account() -> Iterator[Any]:
    """An AWS account; moto takes seconds to make one."""
    import boto3
    from moto import mock_aws

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        yield boto3


@pytest.fixture
def aws(account: Any, prepare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An AWS account in which `prepare_aws.py` has run."""
    run(prepare, monkeypatch, "--ssh-from", "203.0.113.7/32", "--bucket", "my-bucket")
    return account


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["prepare_aws.py", *arguments])
    module.main()


def group_of(aws: Any) -> dict[str, Any]:
    groups = aws.client("ec2", "us-west-2").describe_security_groups()["SecurityGroups"]
    return next(group for group in groups if group["GroupName"] == "awac-dist")


def test_the_group_admits_ssh_from_the_stated_range_and_its_own_members(
    aws: Any, prepare: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(prepare, monkeypatch, "--ssh-from", "203.0.113.7/32", "--bucket", "my-bucket")  # again
    group = group_of(aws)
    rules = {
        (
            rule["IpProtocol"],
            rule.get("FromPort"),
            *(source["CidrIp"] for source in rule["IpRanges"]),
            *(source["GroupId"] for source in rule["UserIdGroupPairs"]),
        )
        for rule in group["IpPermissions"]
    }
    assert rules == {("tcp", 22, "203.0.113.7/32"), ("-1", None, group["GroupId"])}


@pytest.mark.parametrize("range_", ["0.0.0.0/0", "nonsense", "203.0.113.7/8"])
def test_a_range_that_is_everybody_or_nobody_is_refused(
    prepare: ModuleType, monkeypatch: pytest.MonkeyPatch, range_: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(prepare, monkeypatch, "--ssh-from", range_, "--bucket", "my-bucket")


def test_roles_reach_one_prefix_and_nodes_of_this_cluster(aws: Any) -> None:
    iam = aws.client("iam")
    policies = {
        name: iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]["Statement"]
        for name in ("awac-dist-head", "awac-dist-node")
    }
    (node,) = policies["awac-dist-node"]
    assert node["Resource"] == ["arn:aws:s3:::my-bucket", "arn:aws:s3:::my-bucket/awac-dist/*"]
    free = [one["Action"] for one in policies["awac-dist-head"] if one["Resource"] == "*"]
    assert free == ["ec2:Describe*"]
    ending = [s for s in policies["awac-dist-head"] if "ec2:TerminateInstances" in s["Action"]]
    tag = {"aws:ResourceTag/ray-cluster-name": "awac-dist"}
    assert [one["Condition"] for one in ending] == [{"StringEquals": tag}]


def test_nothing_is_left_of_what_was_prepared(
    aws: Any, prepare: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(prepare, monkeypatch, "--remove")
    run(prepare, monkeypatch, "--remove")  # there is nothing to remove, and that is no error
    with pytest.raises(StopIteration):
        group_of(aws)
    names = [role["RoleName"] for role in aws.client("iam").list_roles()["Roles"]]
    assert not [name for name in names if name.startswith("awac-dist")]


def test_the_head_that_is_asked_for(aws: Any) -> None:
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    aws.client("ec2", "us-west-2").create_key_pair(KeyName="key")
    group = group_of(aws)
    config = validate(load("aws.yaml"))
    for kind in config["available_node_types"].values():
        kind["node_config"] |= {"SecurityGroupIds": [group["GroupId"]], "KeyName": "key"}
    config["auth"]["ssh_private_key"] = __file__
    config = bootstrap_aws(config)
    head = config["available_node_types"]["head"]["node_config"]
    AWSNodeProvider(config["provider"], "awac-dist").create_node(
        config["head_node"] | head, {"ray-node-type": "head"}, 1
    )
    groups = aws.client("ec2", "us-west-2").describe_instances()["Reservations"]
    (instance,) = (one for group in groups for one in group["Instances"])
    assert instance["InstanceType"] == "m7i.large"
    assert instance["ImageId"].startswith("resolve:ssm:/aws/service/deeplearning/ami/x86_64/")
    assert [one["GroupId"] for one in instance["SecurityGroups"]] == [group["GroupId"]]
    assert instance["IamInstanceProfile"]["Arn"].endswith("/awac-dist-head")
    assert "InstanceLifecycle" not in instance  # the head is no spot instance


def strict(schema: Any) -> Any:
    """A schema of Kubernetes as one that the `jsonschema` package reads, unknown fields refused."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    read = {key: strict(value) for key, value in schema.items()}
    if read.get("x-kubernetes-int-or-string"):
        read.pop("type", None)
    if "properties" in read and "x-kubernetes-preserve-unknown-fields" not in read:
        read.setdefault("additionalProperties", False)
    return read


def kubernetes() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    """KubeRay's schemas by kind."""
    if not SCHEMAS.is_dir():
        pytest.skip(f"KubeRay's schemas are not at hand: no {SCHEMAS}")
    read = {}
    for name in ("rayclusters", "rayjobs"):
        text = (SCHEMAS / f"ray.io_{name}.yaml").read_text()
        definition = yaml.load(text, yaml.CSafeLoader)["spec"]  # 1.4 MB: the other one is slow
        (version,) = (one for one in definition["versions"] if one["name"] == "v1")
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"]["metadata"] = {"type": "object"}
        read[definition["names"]["kind"]] = strict(schema)
    return read


def complaints(schema: Any, document: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document)]


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_kuberay_takes_the_file(schemas: dict[str, Any], kind: str) -> None:
    assert complaints(schemas[kind], kubernetes()[kind]) == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [("RayCluster", "headGroupSpec"), ("RayCluster", "authOptions"), ("RayJob", "entrypoint")],
)
def test_kuberay_does_not_take_a_misspelt_field(
    schemas: dict[str, Any], kind: str, path: str
) -> None:
    document = kubernetes()[kind]
    document["spec"][path[:-1]] = document["spec"].pop(path)
    (unknown, *_) = [one for one in complaints(schemas[kind], document) if "Additional" in one]
    assert repr(path[:-1]) in unknown


def test_on_kubernetes_too_the_cluster_is_locked_and_labelled() -> None:
    documents = kubernetes()
    spec = documents["RayCluster"]["spec"]
    assert spec["authOptions"] == {"mode": "token", "secretName": "awac-dist-token"}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    assert [one["labels"]["awac-dist/role"] for one in groups] == ["driver", "learner", "worker"]
    assert documents["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress"]


def test_no_file_of_the_repository_holds_a_token() -> None:
    texts = [path.read_text() for path in CLUSTER.rglob("*") if path.suffix in (".yaml", ".sh")]
    assert not [text for text in texts if re.search(r"[0-9a-f]{64}", text)]
