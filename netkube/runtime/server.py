"""The runtime's process: parent of every Pod's processes.

``python -m netkube.runtime.server --socket PATH --root DIR --cgroup NAME``

It is a session of its own that no terminal's hang-up ends, so that Pods survive the daemon. SIGTERM, or the verb
``shutdown``, kills and removes everything it made; SIGKILL takes the containers with it, and leaves their names
for ``netkube.runtime.teardown``.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NamedTuple

from netkube.runtime import cgroup, linux
from netkube.runtime.devices import control_devices
from netkube.runtime.fork import allow_many_files, forget_ignored_signals
from netkube.runtime.nursery import Nursery
from netkube.runtime.process import find_machine


class Options(NamedTuple):
    socket: str
    root: str  # a directory of the runtime's own: the containers' upper layers
    cgroup: str  # a name below the cgroup v2 tree


def parse_options(argv: list[str]) -> Options:
    """Not argparse: it would cost the process 1 MB for good."""
    given = dict(zip(argv[::2], argv[1::2], strict=False))
    expected = {f'--{field}': field for field in Options._fields}
    if len(argv) != 2 * len(expected) or given.keys() != expected.keys():
        raise SystemExit('usage: python -m netkube.runtime.server --socket PATH --root DIR --cgroup NAME')
    return Options(**{expected[name]: value for name, value in given.items()})


def main(options: Options) -> None:
    """The nursery is a copy of what we are before we import the rest.

    Not dumpable, and neither are children until they execute their programs: a container that a child has joined must
    not look into its memory or use its descriptors, with as many capabilities as it has itself (ptrace(2); runc's
    CVE-2019-5736 and CVE-2016-9962).
    """
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    if os.getpid() != os.getsid(0):
        os.setsid()
    forget_ignored_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir('/')
    groups = cgroup.create(cgroup.find_tree(), options.cgroup)
    rootfs = f'{options.root}/rootfs'
    os.makedirs(options.root, 0o700, exist_ok=True)
    os.makedirs(rootfs, exist_ok=True)
    devices = control_devices(options.cgroup, groups)
    cgroup.live_in_v1(options.cgroup)
    nursery = Nursery(find_machine(rootfs, devices, cgroups=bool(groups)))
    allow_many_files()
    from netkube.runtime.listening import Server

    Server(*options, groups, nursery).run()


if __name__ == '__main__':
    main(parse_options(sys.argv[1:]))
