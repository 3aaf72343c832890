"""Where untrusted code runs: engine, guests, limits, and the threads they run on."""

from yoi.sandbox.guest import Guest
from yoi.sandbox.output import LogLine
from yoi.sandbox.runner import RunnerVersion, runner_component, runner_version
from yoi.sandbox.sandbox import Sandbox, deny_all
from yoi.sandbox.scheduler import Scheduler
from yoi.sandbox.state import HostCalls, remaining_seconds

__all__ = [
    "Guest",
    "HostCalls",
    "LogLine",
    "RunnerVersion",
    "Sandbox",
    "Scheduler",
    "deny_all",
    "remaining_seconds",
    "runner_component",
    "runner_version",
]
