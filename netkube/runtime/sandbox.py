"""The server's record of a Pod's sandbox, and process 1 of a Pod whose containers share process ids."""

from __future__ import annotations

from netkube.runtime import cri
from netkube.runtime.container import Container, timestamp
from netkube.runtime.cri import ContainerConfig, LinuxContainerResources, PodSandboxStatus, SandboxConfig
from netkube.runtime.limits import Confinement
from netkube.runtime.namespaces import Namespaces

NOBODY = 65535  # as the pause image's
INIT = ('sleep', 'infinity')
INIT_RESOURCES = LinuxContainerResources(cpu_shares=2, oom_score_adj=-998)  # as the pause image's, too
INIT_NAME = ''  # of its container, which no client hears of


class Sandbox:
    def __init__(
        self, config: SandboxConfig, cgroup_path: str, confinement: Confinement, namespaces: Namespaces, now: float
    ) -> None:
        self.config = config
        self.cgroup_path = cgroup_path
        self.confinement = confinement
        self.namespaces = namespaces
        self.containers: dict[str, Container] = {}  # by their ids
        self.init: Container | None = None  # process 1 of a Pod whose containers share process ids
        self.status = PodSandboxStatus(
            config.id, config.namespace, config.name, config.netns, cri.READY, timestamp(now), config.annotations
        )


def init_config(sandbox: SandboxConfig, attempt: int, first: ContainerConfig) -> ContainerConfig:
    """Process 1 of a Pod: it sees what the Pod's first container sees, and may do nothing."""
    return ContainerConfig(
        id=f'{sandbox.id}.init{attempt}', sandbox_id=sandbox.id, name=INIT_NAME, attempt=attempt, argv=INIT,
        user=NOBODY, group=NOBODY, capabilities=(), no_new_privileges=True, read_only_root=True, hide=first.hide,
        resources=INIT_RESOURCES, supplemental_groups_policy=cri.STRICT,
    )  # fmt: skip
