"""A Node says when it comes under pressure, and when that is over."""

from netkube.node.machine import Pressure
from netkube.node.nodestatus import pressure_events

WELL = Pressure(memory=False, disk=False, pids=False)
FULL = Pressure(memory=False, disk=True, pids=False)


def test_only_what_has_changed_is_said():
    assert pressure_events(WELL, WELL) == []
    assert pressure_events(WELL, FULL) == ['NodeHasDiskPressure']
    assert pressure_events(FULL, FULL) == []
    everything = Pressure(memory=True, disk=False, pids=True)
    assert pressure_events(FULL, everything) == [
        'NodeHasInsufficientMemory', 'NodeHasNoDiskPressure', 'NodeHasInsufficientPID'
    ]  # fmt: skip
