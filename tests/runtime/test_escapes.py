"""What root in an ordinary container tries against the machine, and what comes of it: on the real kernel."""

from __future__ import annotations

from conftest import Pods

from netkube.testing.waiting import eventually

LONG_PATH = '/n:' * 40000 + '/usr/bin:/bin'  # the look-up of a command takes a while: so long the process is ours
STALK = """
import os, signal
own, seen, met = os.getpid(), set(), set()
def read_memory(path):
    with open(path, 'rb') as file, open(path.replace('mem', 'maps')) as maps:
        file.seek(int(maps.readline().split('-')[0], 16))
        return file.read(4)
TRIALS = {
    'exe': os.readlink, 'cwd': os.listdir, 'root': os.listdir, 'mem': read_memory,
    'environ': lambda path: open(path).read()[0],
    'fd': lambda path: os.readlink(f'{path}/{os.listdir(path)[0]}'),
}
def attempt(pid, name):
    try:
        TRIALS[name](f'/proc/{pid}/{name}')
        seen.add(name)
    except (OSError, IndexError):  # refused, or it has just ended
        pass
print('ready', flush=True)
while len(met) < 3:
    for name in os.listdir('/proc'):
        if name.isdigit() and int(name) != own:
            met.add(name)
            for each in TRIALS:
                attempt(name, each)
print('reached', sorted(seen), flush=True)
signal.pause()
"""


async def test_a_process_that_joins_the_container_cannot_be_taken_over(pods: Pods) -> None:
    """An exec is a process of ours for a while, with our program, memory and descriptors (runc's CVE-2019-5736)."""
    container = await pods.start('/usr/bin/python3', '-c', STALK, env={'PATH': LONG_PATH})
    await eventually(lambda: 'ready' in pods.output(container.id))
    while 'reached' not in pods.output(container.id):
        await pods.client.exec_sync(container.id, ['no-such-command'])
    assert pods.output(container.id) == 'ready\nreached []\n'
