"""Gymnasium-Robotics, imported without its notice about dense rewards, which none of us uses."""

from farama_notifications import notifications

_notice = notifications.pop("gymnasium_robotics", {})
import gymnasium_robotics  # noqa: E402, F401

notifications["gymnasium_robotics"] = _notice
