"""Boots this machine's files under another kernel, in QEMU, and runs tests there; ``scripts/test-vm`` runs it.

The virtual machine sees all files of this one, read-only (9p), and keeps what it writes in memory. One folder is shared
for writing: it carries the command in and the exit code out.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from vm_kernel import Kernel, NoKernel, find_kernel

HERE = Path(__file__).resolve().parent.parent
CACHE = HERE / '.venv/share/netkube-vm'
GUEST = HERE / 'scripts/vm-guest'
TRIAL_SECONDS = 45  # for KVM: with it, a machine boots in five
BOOT_SECONDS = 900  # without it in twenty, on cores of its own
TEST_SECONDS = 1800
ENVIRONMENT = ('PYTHONUNBUFFERED=1', 'PYTHONDONTWRITEBYTECODE=1', 'NETKUBE_TEST_PATIENCE=900')
LAST_BYTES = 1000
MINUTES = int(os.environ.get('NETKUBE_VM_MINUTES', '45'))

# Emulation costs 10 to 20 times the time. It is the cheaper the less the processor can do, and the kernel's
# precautions against faults of real processors, and against programs that exploit its own, protect nobody here.
EMULATED = ('-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', 'Nehalem')
SIMPLER = (
    'mitigations=off', 'nokaslr', 'init_on_alloc=0', 'audit=0', 'apparmor=0',
    'tsc=unstable',  # on a busy machine its speed is measured wrong, and clocks run five times as fast
)  # fmt: skip


class Failure(Exception):
    """There is no result; the text says why."""


class Machine:
    """One start of the virtual machine; ``folder`` is what it shares."""

    def __init__(self, kernel: Kernel, folder: Path, is_accelerated: bool) -> None:
        self.folder = folder
        self._console = folder / 'console'
        self._process = subprocess.Popen(
            command_line(kernel, folder, is_accelerated),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._console.open('w'),
            env={**os.environ, 'TMPDIR': str(folder)},
        )

    def relay(self, boot: float, whole: float) -> str:
        """Passes on what it prints until it ends; the last of it. Failure when it has not booted, or not ended, after
        these seconds."""
        began, last = time.monotonic(), b''
        assert self._process.stdout is not None
        while True:
            passed = time.monotonic() - began
            if passed > boot and not (self.folder / 'started').exists():
                raise Failure(f'the machine has not booted after {boot:.0f} s{self._last_words()}')
            if passed > whole:
                raise Failure(f'the tests have not ended after {whole / 60:.0f} minutes')
            if select.select([self._process.stdout], [], [], 1)[0]:
                text = os.read(self._process.stdout.fileno(), 1 << 16)
                if not text:
                    return last.decode(errors='replace')
                last = (last + text)[-LAST_BYTES:]
                sys.stdout.buffer.write(text)
                sys.stdout.buffer.flush()

    def exit_code(self) -> int:
        result = self.folder / 'exit'
        if not result.exists():
            raise Failure(f'the machine ended without a result{self._last_words()}')
        return int(result.read_text())

    def _last_words(self) -> str:
        lines = [line for line in self._console.read_text(errors='replace').splitlines() if line.strip()]
        return ''.join(f'\n    {line}' for line in ['; its console:', *lines[-15:]]) if lines else ''

    def stop(self) -> None:
        """With all that belongs to it: its namespace of processes ends with the first of them."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def command_line(kernel: Kernel, folder: Path, is_accelerated: bool) -> list[str]:
    script = shlex.join(['/bin/busybox', 'sh', str(GUEST), str(HERE), str(kernel.root)])
    kernel_options = () if is_accelerated else SIMPLER
    return [
        # Whatever ends this process, even SIGKILL, ends the machine.
        'setpriv', '--pdeathsig', 'KILL', 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc',
        str(HERE / '.venv/bin/virtme-run'), '--kimg', str(kernel.image), '--mods', 'auto', '--force-9p',
        *(() if is_accelerated else ('--disable-kvm',)), '--disable-microvm',
        '--memory', '2G', '--cpus', '2', '--show-boot-console',
        *(word for option in kernel_options for word in ('--kopt', option)),
        '--script-sh', script,
        '--qemu-opts', *share('files', '/', 'readonly=on,'), *share('result', str(folder), ''),
        *(() if is_accelerated else EMULATED),
    ]  # fmt: skip


def share(name: str, path: str, options: str) -> tuple[str, ...]:
    quoted = path.replace(',', ',,')
    source = f'local,id=netkube-{name},path={quoted},security_model=none,{options}multidevs=remap'
    return '-fsdev', source, '-device', f'virtio-9p-pci,fsdev=netkube-{name},mount_tag=netkube-{name}'


@contextlib.contextmanager
def machine(kernel: Kernel, command: str, is_accelerated: bool) -> Iterator[Machine]:
    """Started, with a shell command to run in the checkout; nothing is left of it at the end."""
    folder = Path(tempfile.mkdtemp(dir=CACHE, prefix='run-'))
    try:
        (folder / 'command').write_text(command)
        started = Machine(kernel, folder, is_accelerated)
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(folder)


def kvm_works(kernel: Kernel) -> bool:
    """Found out by trying: it may be there and crash, or hang."""
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        return False
    with machine(kernel, 'true', is_accelerated=True) as trial:
        try:
            trial.relay(TRIAL_SECONDS, TRIAL_SECONDS)
            return trial.exit_code() == 0
        except Failure:
            return False


def marked_tests() -> list[str]:
    """Those marked ``vm``, by name: in the machine only their files are read."""
    collect = [sys.executable, '-m', 'pytest', '--collect-only', '-q', '-m', 'vm', '-p', 'no:cacheprovider', 'tests']
    done = subprocess.run(collect, cwd=HERE, text=True, capture_output=True)
    names = [line for line in done.stdout.splitlines() if '::' in line]
    if done.returncode or not names:
        raise Failure(f'pytest finds no tests marked vm:\n{done.stdout}{done.stderr}')
    return names


def run(arguments: list[str]) -> int:
    kernel = find_kernel(CACHE)
    is_accelerated = kvm_works(kernel)
    how = 'KVM' if is_accelerated else 'emulated, because KVM does not work here'
    print(f'test-vm: Linux {kernel.release}, cgroup v2 only, {how}', file=sys.stderr, flush=True)
    chosen = arguments or ['-v', '-rs', *marked_tests()]
    pytest = ('.venv/bin/python', '-m', 'pytest', '-p', 'no:cacheprovider', '-o', f'timeout={TEST_SECONDS}', *chosen)
    with machine(kernel, shlex.join(['exec', 'env', *ENVIRONMENT, *pytest]), is_accelerated) as vm:
        last = vm.relay(BOOT_SECONDS, MINUTES * 60)
        code = vm.exit_code()
    if not arguments and re.search(r'\b\d+ skipped', last):
        raise Failure('a test that is marked vm was skipped there: what it needs is missing')
    return code


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(run(sys.argv[1:]))
    except (Failure, NoKernel) as error:
        sys.exit(f'test-vm: {error}')
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == '__main__':
    main()
