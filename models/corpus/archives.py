"""Reads the files inside packages: wheels are zip files, npm's .tgz, sdists and crates are gzipped tar files."""
import re
import tarfile
import zipfile
from pathlib import Path


def members(archive: Path, pattern: str) -> dict[str, bytes]:
    """The files whose whole name matches the pattern, in the order of their names."""
    wanted = re.compile(pattern)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            found = {name: file.read(name) for name in file.namelist() if wanted.fullmatch(name)}
    else:
        with tarfile.open(archive, "r:gz") as file:
            found = {m.name: file.extractfile(m).read() for m in file if m.isfile() and wanted.fullmatch(m.name)}
    if not found:
        raise ValueError(f"{archive.name}: no file is named like {pattern}, at least one must be")
    return dict(sorted(found.items()))
