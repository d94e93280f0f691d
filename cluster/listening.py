"""What listens on this machine for Ray, on which interface, and who is let in: as Markdown.

    python cluster/listening.py

To be run on a node of a started cluster, as the user that started it. Each port is asked, over
HTTP and over gRPC, without a token: "token" stands where it refused, "OPEN" where it answered.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import urllib.error
import urllib.request
from collections import defaultdict
from typing import NamedTuple

import grpc
import psutil

TIMEOUT_S = 2.0
NAMES = {  # part of a command line -> what it is
    "gcs_server": "control store (GCS)",
    "raylet/raylet": "raylet",
    "dashboard/dashboard.py": "dashboard",
    "dashboard/agent.py": "node agent",
    "runtime_env/agent/main.py": "environment agent",
    "util.client.server": "Ray Client",
    "autoscaler/_private/monitor.py": "autoscaler",
    "autoscaler/v2/monitor.py": "autoscaler",
    "ray::DashboardAgent": "node agent",
    "ray::RuntimeEnvAgent": "environment agent",
    "ray::": "worker or driver",
    "default_worker.py": "idle worker",
}
METHODS = (  # one of each service; an empty request changes nothing
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/HealthCheck",
    "/ray.rpc.RayletDriver/ClusterInfo",
)


class Listener(NamedTuple):
    """A socket that waits for connections."""

    port: int
    interface: str
    component: str


def main() -> None:
    """Print the table."""
    rows: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for listener in listeners():
        protection = protection_of(listener.interface, listener.port)
        rows[listener.component, listener.interface, protection].append(listener.port)
    print("| component | port | interface | without a token |\n| --- | --- | --- | --- |")
    for (component, interface, protection), ports in sorted(rows.items(), key=lambda row: row[1]):
        print(f"| {component} | {_some(ports)} | {_readable(interface)} | {protection} |")


def listeners() -> list[Listener]:
    """The listening sockets of Ray's processes."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        component = next((name for part, name in NAMES.items() if part in command), None)
        if component is None or process.pid == os.getpid():
            continue
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                interface = connection.laddr.ip.removeprefix("::ffff:")  # IPv4 in IPv6's clothes
                found.add(Listener(connection.laddr.port, interface, component))
    return sorted(found)


def protection_of(interface: str, port: int) -> str:
    """What a port says to a stranger."""
    host = "127.0.0.1" if ipaddress.ip_address(interface).is_unspecified else interface
    return _over_http(host, port) or _over_grpc(host, port) or "no answer"


def _over_http(host: str, port: int) -> str | None:
    """None: this port does not speak HTTP."""
    codes = {}
    for path in ("/metrics", "/api/version", "/"):
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=TIMEOUT_S):
                codes[path] = 200
        except urllib.error.HTTPError as error:
            codes[path] = error.code
        except (OSError, http.client.HTTPException):
            return None
    if codes["/metrics"] == 200:
        return "OPEN: metrics"
    refused = "token" if codes["/api/version"] == 401 else "OPEN"
    return f"{refused}, static page open" if codes["/"] == 200 else refused


def _over_grpc(host: str, port: int) -> str | None:
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        for method in METHODS:
            try:
                channel.unary_unary(method)(b"", timeout=TIMEOUT_S)
                return f"OPEN: {method.split('.')[-1]}"
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                    return "token"
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    return None
    return None


def _some(ports: list[int]) -> str:
    """Ports, or what stands for many of them."""
    return ", ".join(map(str, ports)) if len(ports) < 4 else f"{len(ports)} ports, changing"


def _readable(interface: str) -> str:
    address = ipaddress.ip_address(interface)
    if address.is_unspecified:
        return "all"
    if address.is_loopback:
        return "loopback"
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}
    return "the node's own" if str(address) in own or address.is_private else str(address)


if __name__ == "__main__":
    main()
