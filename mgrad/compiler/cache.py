"""Object code on disk: one checked file per content hash, safe for racing processes.

The directory is $MGRAD_CACHE_DIR (empty, "0" or "off": no disk cache), else the
platform's place for caches. Trouble costs one `CacheWarning`, never a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

from mgrad.errors import CacheWarning

FORMAT_VERSION = 1
SIZE_LIMIT = 512 * 1024 * 1024

_MAGIC = b"mgradobj"
_SUFFIX = ".mgo"
_TEMPORARY = ".tmp"
_ABANDONED_AFTER = 3600.0  # seconds; an older temporary file has lost its writer
_WRITES_PER_CLEANING = 256

_warned: set[tuple[str, str]] = set()
_writes = 0


def directory() -> Path | None:
    """Where the cache lives; None if it is switched off or there is no such place."""
    setting = os.environ.get("MGRAD_CACHE_DIR")
    if setting is not None:
        off = setting.strip().lower() in ("", "0", "off")
        return None if off else Path(setting).expanduser()
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # the XDG specification ignores relative paths
            base = home / ".cache"
    return base / "mgrad" if base.is_absolute() else None


def read(key: str) -> bytes | None:
    """The payload stored under `key`, or None if there is none that can be trusted."""
    folder = directory()
    if folder is None:
        return None
    path = _path(folder, key)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _warn("read", folder, f"{path} cannot be read ({error}); compiling anew.")
        return None
    header = _header(key, data[_header_size(key) :])
    if not data.startswith(header):
        _warn("damaged", folder, f"{path} is damaged or not ours; compiling anew.")
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # marks it as recently used
    return data[len(header) :]


def write(key: str, payload: bytes) -> None:
    """Store `payload` under `key`, atomically; the last of several writers wins."""
    global _writes
    folder = directory()
    if folder is None:
        return
    temporary = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(_TEMPORARY, key[:16] + "-", folder)
        with os.fdopen(handle, "wb") as file:
            file.write(_header(key, payload) + payload)
        os.replace(temporary, _path(folder, key))
    except OSError as error:
        _warn(
            "write",
            folder,
            f"{folder} cannot be written ({error}); set MGRAD_CACHE_DIR.",
        )
        if temporary:
            _remove(Path(temporary))
        return
    if _writes % _WRITES_PER_CLEANING == 0:
        clean(folder)
    _writes += 1


def clean(folder: Path, limit: int = SIZE_LIMIT) -> None:
    """Delete abandoned temporaries, and the least recently used beyond `limit`."""
    now = time.time()
    files: list[tuple[float, int, Path]] = []
    try:
        for entry in os.scandir(folder):
            try:
                status = entry.stat()
            except OSError:  # another process removed it
                continue
            if entry.name.endswith(_SUFFIX):
                files.append((status.st_mtime, status.st_size, Path(entry.path)))
            elif (
                entry.name.endswith(_TEMPORARY)
                and now - status.st_mtime > _ABANDONED_AFTER
            ):
                _remove(Path(entry.path))
    except OSError:
        return
    excess = sum(size for _, size, _ in files) - limit
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        _remove(path)
        excess -= size


def _path(folder: Path, key: str) -> Path:
    return folder / (key + _SUFFIX)


def _header(key: str, payload: bytes) -> bytes:
    """Magic, format version, key, length and checksum: what a good file starts with."""
    name = key.encode()
    checksum = hashlib.blake2b(name + payload, digest_size=16).digest()
    length = len(payload).to_bytes(8, "little")
    return _MAGIC + FORMAT_VERSION.to_bytes(4, "little") + name + length + checksum


def _header_size(key: str) -> int:
    return len(_MAGIC) + 4 + len(key.encode()) + 8 + 16


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # Windows: another process reads it
        path.unlink(missing_ok=True)


def _warn(kind: str, folder: Path, message: str) -> None:
    """Warn once per kind of trouble and directory."""
    if (kind, str(folder)) not in _warned:
        _warned.add((kind, str(folder)))
        warnings.warn(f"disk cache: {message}", CacheWarning, stacklevel=4)
