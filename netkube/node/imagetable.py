"""The table of images that is in force: the ConfigMap's, or the last one of it that was without fault."""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.meta import Object, key_of
from netkube.client.events import EventRecorder
from netkube.client.informer import Informer
from netkube.node.images import FILE, IMAGES, ImagesError, Program, find_program, parse_images, with_programs


class ImageTable:
    """``changed`` is called when other programs are in force: Pods that waited for one may start."""

    def __init__(self, configmaps: Informer, recorder: EventRecorder, changed: Callable[[], None]) -> None:
        self._programs: tuple[Program, ...] = ()
        self._recorder, self._changed = recorder, changed
        configmaps.subscribe(self._configmap_changed)

    def resolved(self, pod: Object) -> Object:
        """The Pod with what its images say; not to be written back."""
        return with_programs(pod, self._programs) if self._programs else pod

    def rootfs_of(self, image: str) -> str:
        """'' for the machine's own files."""
        program = find_program(self._programs, image)
        return program.rootfs if program else ''

    def _configmap_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if obj is None or key_of(obj) != IMAGES:
            return
        try:
            programs = parse_images((new or {}).get('data', {}).get(FILE, ''))
        except ImagesError as error:
            message = f'{FILE}: {error}; the last table without fault stays in force'
            self._recorder.event(obj, 'Warning', 'InvalidImages', message)
            return
        if programs != self._programs:
            self._programs = programs
            self._changed()
