"""Which file a command's name means, looked for inside the container, with the words runc refuses in."""

from __future__ import annotations

import errno
import os
import stat

DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


class CommandError(Exception):
    """A command that cannot be executed; ``code`` is a shell's: 127 not found, 126 found but not executable."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message, self.code = message, code


def find_executable(name: str, search_path: str) -> str:
    """The path to execute, as the calling process may: a name with a slash is one already. Go's exec.LookPath."""
    if '/' in name:
        _require_executable(name)
        return name
    refusal = f'exec: "{name}": executable file not found in $PATH'
    for directory in search_path.split(':') if name else ():
        path = os.path.join(directory or '.', name)
        try:
            _require_executable(path)
            return path
        except CommandError:
            continue
    raise CommandError(refusal, 127)


def _require_executable(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CommandError(f'exec: "{path}": stat {path}: {in_words(error)}', 127) from error
    if stat.S_ISDIR(mode):
        raise CommandError(f'exec: "{path}": is a directory', 126)
    if not mode & 0o111 or not os.access(path, os.X_OK):
        raise CommandError(f'exec: "{path}": permission denied', 126)


def execute(path: str, argv: tuple[str, ...], env: dict[str, str]) -> None:
    """Never returns; CommandError when the kernel refuses the file."""
    try:
        os.execve(path, argv, env)
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        raise CommandError(f'exec {path}: {in_words(error)}', code) from error


def in_words(error: OSError) -> str:
    """The errno as Go prints it: all lower case."""
    words = os.strerror(error.errno) if error.errno else str(error)
    return words[:1].lower() + words[1:]
