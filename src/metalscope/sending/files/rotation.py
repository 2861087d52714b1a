"""Moving a full file out of the way: to ``.1``, that to ``.2``, and so on."""

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Rotation"]


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many are kept, and whether those are compressed, as ``.1.gz``."""

    backups: int
    compress: bool = False

    def move(self, path: Path) -> None:
        """Move a file that its user holds out of the way; its name goes last and at once.

        Raises:
            OSError: the disk does not; the file is still there, whole.
        """
        if not self.backups:
            path.unlink()
            return
        packed = _compressed(path) if self.compress else None
        for number in range(self.backups, 0, -1):
            for suffix in ("", ".gz"):
                old = _backup(path, number, suffix)
                if not old.exists():
                    continue
                if number == self.backups:
                    old.unlink()
                else:
                    old.rename(_backup(path, number + 1, suffix))
        if packed is None:
            path.rename(_backup(path, 1))
        else:
            packed.rename(_backup(path, 1, ".gz"))
            path.unlink()


def _backup(path: Path, number: int, suffix: str = "") -> Path:
    return path.with_name(f"{path.name}.{number}{suffix}")


def _compressed(source: Path) -> Path:
    target = source.with_name(f"{source.name}.gz.tmp")
    mode = source.stat().st_mode & 0o777
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with (
            source.open("rb") as plain,
            os.fdopen(descriptor, "wb") as file,
            gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed,
        ):
            os.fchmod(descriptor, mode)
            shutil.copyfileobj(plain, packed)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target
