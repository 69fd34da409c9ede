"""Which of the machine's file systems a container's root is made of: from the mount table alone."""

from __future__ import annotations

from netkube.runtime.mounts import Layer, parse_mountinfo, plan_layers

KINDS = frozenset({'ext4', 'squashfs', 'btrfs'})


def layers(table: str) -> list[Layer]:
    lines = [line.strip() for line in table.strip().splitlines()]
    return plan_layers(parse_mountinfo('\n'.join(lines)), KINDS)


ROOT = '1 0 8:1 / / rw - ext4 /dev/sda1 rw\n'


def test_the_root_alone() -> None:
    assert layers(ROOT) == [Layer('/', True)]


def test_other_real_file_systems_are_layers_and_pseudo_ones_are_not() -> None:
    table = ROOT + """2 1 0:5 / /proc rw - proc proc rw
                      3 1 8:2 / /home rw,nosuid shared:7 - ext4 /dev/sda2 rw
                      4 3 0:40 / /home/ann/data rw - btrfs /dev/sdb rw
                      5 1 0:41 / /run rw - tmpfs tmpfs rw
                      6 5 0:4 net:[4026532000] /run/netns/x rw - nsfs nsfs rw"""
    assert layers(table) == [Layer('/', True), Layer('/home', True), Layer('/home/ann/data', True)]


def test_a_read_only_file_system_is_seen_as_it_is() -> None:
    table = ROOT + '2 1 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n3 1 8:3 / /usr ro - ext4 /dev/sda3 rw'
    assert layers(table) == [Layer('/', True), Layer('/snap/core/1', False), Layer('/usr', True)]


def test_what_is_mounted_over_is_not_seen() -> None:
    table = ROOT + """2 1 8:2 / /mnt rw - ext4 /dev/sda2 rw
                      3 2 0:9 / /mnt rw - tmpfs tmpfs rw
                      4 1 8:3 / /srv/deep/data rw - ext4 /dev/sda3 rw
                      5 4 8:4 / /srv/deep/data/more rw - ext4 /dev/sda4 rw
                      6 1 0:10 / /srv/deep rw - tmpfs tmpfs rw"""
    assert layers(table) == [Layer('/', True)]


def test_names_are_unescaped() -> None:
    assert layers(ROOT + r'2 1 8:2 / /mnt/my\040disk\134ü rw - ext4 /dev/sda2 rw')[1].path == '/mnt/my disk\\ü'
