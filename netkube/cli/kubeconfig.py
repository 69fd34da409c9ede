"""``netkube kubeconfig``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from netkube.cli.settings import Settings, common_options, need_root
from netkube.client import kubeconfig as files
from netkube.cluster import config
from netkube.cluster.access import admin_kubeconfig


@click.command()
@click.option('--merge', is_flag=True, help='Put the cluster into your own kubeconfig ($KUBECONFIG or ~/.kube/config).')
@common_options(namespace=False, output=False)
def kubeconfig(settings: Settings, merge: bool) -> None:
    """Write a kubeconfig that only you can read, and print its path."""
    need_root()
    found = config.load(config.check_name(settings.cluster))
    if found is None or not found.pki.exists():
        raise click.ClickException(f'there is no cluster "{settings.cluster}"; start it with: {settings.up_command}')
    uid, gid = int(os.environ.get('SUDO_UID', '0')), int(os.environ.get('SUDO_GID', '0'))
    content = admin_kubeconfig(found)
    if merge:
        path = _own_file(uid)
        folder_is_new = not path.parent.exists()
        files.write(path, files.merge(files.read(path), content))
        if folder_is_new:
            os.chown(path.parent, uid, gid)
    else:
        path = found.run_dir / f'kubeconfig-{uid}'
        files.write(path, content)
    os.chown(path, uid, gid)
    click.echo(path)


def _own_file(uid: int) -> Path:
    """The kubeconfig of the user who called sudo; $HOME is root's by then."""
    import pwd

    first = os.environ.get('KUBECONFIG', '').split(':')[0]
    home = Path(pwd.getpwuid(uid).pw_dir) if uid else Path.home()
    return Path(first) if first else home / '.kube' / 'config'
