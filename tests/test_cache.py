"""The disk cache: atomic, checked, and never a reason to fail."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mgrad.compiler import cache, codegen
from mgrad.errors import CacheWarning

KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache directory, and no warning given yet."""
    monkeypatch.setenv("MGRAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_warned", set())
    return tmp_path / "cache"


def test_round_trip(folder):
    assert cache.read(KEY) is None
    for payload in (b"first", b"", bytes(range(256)) * 100):
        cache.write(KEY, payload)
        assert cache.read(KEY) == payload
    assert [path.name for path in folder.iterdir()] == [KEY + ".mgo"]


DAMAGE = {
    "empty": lambda data: b"",
    "truncated header": lambda data: data[:20],
    "truncated payload": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "foreign": lambda data: b"\x7fELF" + data,
    "other version": lambda data: data[:8] + b"\xff" + data[9:],
    "other key": lambda data: data.replace(KEY.encode(), KEY[::-1].encode()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_ignored_with_one_warning_and_rewritten(folder, damage):
    cache.write(KEY, b"payload")
    path = folder / (KEY + ".mgo")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(CacheWarning, match="damaged") as caught:
        assert cache.read(KEY) is None
        assert cache.read(KEY) is None
    assert len(caught) == 1
    cache.write(KEY, b"payload")
    assert cache.read(KEY) == b"payload"


def test_a_damaged_kernel_is_compiled_anew(folder):
    ir = "define i64 @cache_kernel() {\n  ret i64 3\n}"
    codegen.load({"cache_kernel": ir})
    (path,) = folder.iterdir()
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    codegen._addresses.clear()
    compiled = codegen.counts().compiled
    with pytest.warns(CacheWarning):
        codegen.load({"cache_kernel": ir})
    assert codegen.counts().compiled == compiled + 1
    assert path.read_bytes() == good


@pytest.mark.parametrize("below", ["", "sub/folder"])
def test_unwritable_directory_warns_once_and_compiles(tmp_path, monkeypatch, below):
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("MGRAD_CACHE_DIR", str(tmp_path / "file" / below))
    with pytest.warns(CacheWarning, match="cannot be written") as caught:
        for name in ("cache_u", "cache_v"):
            ir = f"define i64 @{name}() {{\n  ret i64 {len(below)}\n}}"
            assert codegen.load({name: ir})[name]
    assert len(caught) == 1


def test_unreadable_entry_warns_and_leaves_no_temporary(folder):
    (folder / (KEY + ".mgo")).mkdir(parents=True)
    with pytest.warns(CacheWarning, match="cannot be"):
        assert cache.read(KEY) is None
        cache.write(KEY, b"payload")
    assert [path.name for path in folder.iterdir()] == [KEY + ".mgo"]


@pytest.mark.parametrize("setting", ["", "0", "off", "OFF"])
def test_switched_off(monkeypatch, setting):
    monkeypatch.setenv("MGRAD_CACHE_DIR", setting)
    cache.write(KEY, b"payload")
    assert cache.directory() is None
    assert cache.read(KEY) is None


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG is for the others")
def test_default_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("MGRAD_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.directory() == tmp_path / ".cache" / "mgrad"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.directory() == tmp_path / ".cache" / "mgrad"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.directory() == tmp_path / "xdg" / "mgrad"


def test_least_recently_used_goes_first(folder):
    keys = [f"{i:032x}" for i in range(4)]
    for age, key in enumerate(keys):
        cache.write(key, b"x" * 1000)
        os.utime(folder / (key + ".mgo"), (1000 + age, 1000 + age))
    cache.read(keys[0])
    abandoned = folder / "lost.tmp"
    abandoned.write_text("")
    os.utime(abandoned, (0, 0))
    foreign = folder / "notes.txt"
    foreign.write_text("mine")
    cache.clean(folder, limit=2200)
    assert {path.name for path in folder.iterdir()} == {
        keys[0] + ".mgo",
        keys[3] + ".mgo",
        "notes.txt",
    }


RACE = """
import ctypes
from mgrad.compiler import codegen
modules = {f"race{i}": "define i64 @race%d() {\\n  ret i64 %d\\n}" % (i, i * i)
           for i in range(6)}
for name, address in codegen.load(modules).items():
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(address)() == int(name[4:]) ** 2
"""


def test_eight_processes_race_on_an_empty_cache(folder):
    racers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RACE],
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for _ in range(8)
    ]
    for racer in racers:
        _, errors = racer.communicate(timeout=60)
        assert racer.returncode == 0, errors
    assert sorted(path.suffix for path in folder.iterdir()) == [".mgo"] * 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in folder.iterdir():
            assert cache.read(path.stem)
