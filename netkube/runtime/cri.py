"""The records that go between the node agent and the runtime server, and their JSON form.

Names and meaning are those of the Container Runtime Interface (k8s.io/cri-api, runtime.v1), where that has them.
Named tuples, because importing ``dataclasses`` alone would cost the server a sixth of its memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Record = dict[str, Any]  # a record as JSON sees it

# containerd's default set (oci.WithDefaultUnixCapabilities)
DEFAULT_CAPABILITIES = (
    'CHOWN', 'DAC_OVERRIDE', 'FSETID', 'FOWNER', 'MKNOD', 'NET_RAW', 'SETGID', 'SETUID', 'SETFCAP', 'SETPCAP',
    'NET_BIND_SERVICE', 'SYS_CHROOT', 'KILL', 'AUDIT_WRITE',
)  # fmt: skip

# Written before any link comes up, and only where the kernel has them; ``all`` is for links to come, too. The last
# two are containerd's (enable_unprivileged_ports, enable_unprivileged_icmp).
DEFAULT_SYSCTLS: Mapping[str, str] = {
    'net.ipv6.conf.all.disable_ipv6': '1',
    'net.bridge.bridge-nf-call-iptables': '0',
    'net.ipv4.ip_unprivileged_port_start': '0',
    'net.ipv4.ping_group_range': '0 2147483647',
}

CREATED, RUNNING, EXITED = 'created', 'running', 'exited'  # states of a container
READY, NOT_READY = 'ready', 'notready'  # states of a sandbox


MIN_SHARES = 2  # of CPU: what asks for none
POD, CONTAINER, NODE = 'pod', 'container', 'node'  # whose a namespace is (CRI's NamespaceMode)
MERGE, STRICT = 'merge', 'strict'  # whether /etc/group has a say (SupplementalGroupsPolicy)
PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL = 'private', 'host-to-container', 'bidirectional'  # MountPropagation


class Mount(NamedTuple):
    """A file or directory of the machine, bound into a container; a missing target is created."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = PRIVATE
    within: str = ''  # a directory that ``host_path``, which has no symbolic links then, must not have left meanwhile


class NamespaceOption(NamedTuple):
    """``node`` is the machine's own; but the Node's, which has a name, for the network."""

    network: str = POD  # or NODE
    pid: str = CONTAINER  # or POD, or NODE
    ipc: str = POD  # or NODE


class LinuxContainerResources(NamedTuple):
    """The most that a container, or all of a Pod's, may use, and its part where all want more; 0 leaves it unsaid."""

    cpu_quota: int = 0  # microseconds of CPU time in every 100 ms
    memory_limit: int = 0  # bytes
    pids_limit: int = 0  # processes and threads
    cpu_shares: int = 0  # in relation to others; MIN_SHARES to 262144, a whole core's are 1024
    oom_score_adj: int = 0  # -1000 to 1000: who is killed first when memory runs out; not of a Pod


class SandboxConfig(NamedTuple):
    """What the containers of a Pod share."""

    id: str  # the Pod's uid
    namespace: str
    name: str
    netns: str  # the name under /run/netns; the Node's exists already, and is not the sandbox's to delete
    hostname: str = ''
    namespaces: NamespaceOption = NamespaceOption()
    sysctls: Mapping[str, str] = DEFAULT_SYSCTLS  # any other than the defaults must exist
    resources: LinuxContainerResources = LinuxContainerResources()  # of all containers together
    annotations: Mapping[str, str] = {}


class PodSandboxStatus(NamedTuple):
    id: str
    namespace: str
    name: str
    netns: str
    state: str  # READY or NOT_READY
    created_at: str  # RFC 3339, microseconds
    annotations: Mapping[str, str] = {}


class ContainerConfig(NamedTuple):
    """One container. ``id`` is a file name, unique on the machine."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    argv: tuple[str, ...]
    env: Mapping[str, str] = {}  # PATH, HOSTNAME and HOME are added where absent, as container runtimes do
    working_dir: str = ''  # '' is /; created where missing
    mounts: tuple[Mount, ...] = ()
    log_path: str = ''  # '' keeps no log
    hostname: str = ''  # of /etc/hostname and $HOSTNAME; '' is the sandbox's
    user: int | None = None  # None is root
    group: int | None = None  # None is the user's own of /etc/passwd, or root
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = MERGE
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES  # without CAP_
    privileged: bool = False  # the machine's devices; /proc and /sys neither masked nor read-only
    no_new_privileges: bool = False
    seccomp: str = ''  # a file of the machine that holds the filter, an array of struct sock_filter; '' is none
    read_only_root: bool = False
    hide: tuple[str, ...] = ()  # paths of the machine that the container sees empty
    termination_log: str = ''  # path in the container of a file whose last 4096 bytes become the status' message
    stop_signal: int = 15
    stdin: bool = False  # kept open for who attaches, instead of /dev/null
    stdin_once: bool = False  # and given to the first one, so that it ends with that one
    tty: bool = False
    resources: LinuxContainerResources = LinuxContainerResources()
    rootfs: str = ''  # a directory of the machine that is its root, instead of the machine's own
    annotations: Mapping[str, str] = {}  # handed back in the status


class ContainerStatus(NamedTuple):
    """Times are RFC 3339 with microseconds, '' where it has not happened."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: str  # CREATED, RUNNING or EXITED
    pid: int  # in the machine's pid namespace; 0 when not running
    created_at: str
    started_at: str = ''
    finished_at: str = ''
    exit_code: int = 0  # 128 + N when signal N ended it; 128 for a StartError
    signal: int = 0
    reason: str = ''  # of an exit: Completed, Error, OOMKilled or StartError
    message: str = ''  # why it could not start, or its termination log
    annotations: Mapping[str, str] = {}
    user: tuple[int, ...] = ()  # uid, gid and all groups of its first process, once it runs


class CriError(RuntimeError):
    """A refusal; ``code`` is one of gRPC's: NotFound, AlreadyExists, FailedPrecondition, InvalidArgument, Internal."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class RuntimeUnavailable(CriError):
    """The runtime server is gone, or was never there."""

    def __init__(self, message: str) -> None:
        super().__init__('Unavailable', message)


def sandbox_config(record: Record) -> SandboxConfig:
    namespaces = NamespaceOption(**record.get('namespaces', {}))
    resources = LinuxContainerResources(**record.get('resources', {}))
    return SandboxConfig(**{**record, 'namespaces': namespaces, 'resources': resources})


def container_config(record: Record) -> ContainerConfig:
    """The inverse of ``record_of``; TypeError names a field that does not exist."""
    mounts = tuple(Mount(**mount) for mount in record.get('mounts', ()))
    tuples = {field: tuple(record[field]) for field in _TUPLES if field in record}
    resources = LinuxContainerResources(**record.get('resources', {}))
    return ContainerConfig(**{**record, **tuples, 'mounts': mounts, 'resources': resources})


def record_of(value: Any) -> Record:
    """A named tuple as a JSON object; those inside it too."""
    record: Record = value._asdict()
    if record.get('mounts'):
        record['mounts'] = [mount._asdict() for mount in record['mounts']]
    for part in ('resources', 'namespaces'):
        if part in record:
            record[part] = record[part]._asdict()
    return record


_TUPLES = ('argv', 'supplemental_groups', 'capabilities', 'hide')
