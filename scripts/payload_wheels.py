"""What scripts/build-payload does with wheels: unpack, pack a changed one, find what it needs, list all with hashes."""

import base64
import csv
import hashlib
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

EPOCH = (1980, 1, 1, 0, 0, 0)
EXECUTABLE = 0o111


def unpack(wheel: Path, tree: Path) -> None:
    """Unpack a wheel; what can be executed stays so (zipfile's own extraction forgets it)."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            file = Path(archive.extract(entry, tree))
            if entry.external_attr >> 16 & EXECUTABLE:
                file.chmod(0o755)


def repack(tree: Path, directory: Path) -> None:
    """Make a wheel of an unpacked one, its RECORD (hashes and sizes of files) written anew; always the same bytes."""
    info = next(tree.glob("*.dist-info"))
    tag = next(line for line in (info / "WHEEL").read_text().splitlines() if line.startswith("Tag: ")).removeprefix(
        "Tag: "
    )
    record = info / "RECORD"
    files = sorted(path for path in tree.rglob("*") if path.is_file() and path != record)
    with record.open("w", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        for file in files:
            digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
            rows.writerow((file.relative_to(tree).as_posix(), f"sha256={digest}", file.stat().st_size))
        rows.writerow((record.relative_to(tree).as_posix(), "", ""))
    target = directory / f"{info.name.removesuffix('.dist-info')}-{tag}.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file in [*files, record]:
            entry = zipfile.ZipInfo(file.relative_to(tree).as_posix(), EPOCH)
            entry.external_attr = (0o100755 if file.stat().st_mode & EXECUTABLE else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, file.read_bytes())


def needed(lock: Path, wheel: Path) -> str:
    """The entries of the lock file that this wheel needs, and those need, as far as they are for this machine."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    wanted: set[str] = set()
    open_ends = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [(Requirement(end), frozenset[str]()) for end in open_ends]
    while pending:
        requirement, extras = pending.pop()
        if not any(
            requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}
        ):
            continue
        entry = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if entry in seen:
            continue
        seen.add(entry)
        wanted.add(entry[0])
        pending += [(Requirement(text), entry[1] | {""}) for text in _distribution(entry[0]).requires or ()]
    entries = dict(_entries(lock))
    if missing := wanted - entries.keys():
        raise SystemExit(f"payload_wheels: {lock.name} lacks {', '.join(sorted(missing))}")
    return "".join(entries[name] for name in sorted(wanted))


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise SystemExit(f"payload_wheels: {name} is not in the venv; run 'make setup'") from None


def _entries(lock: Path) -> Iterator[tuple[str, str]]:
    """The lock file's packages, each with its lines."""
    name, lines = "", list[str]()
    for line in lock.read_text().splitlines(keepends=True):
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            if name:
                yield name, "".join(lines)
            name, lines = canonicalize_name(line.split("==")[0]), []
        lines.append(line)
    if name:
        yield name, "".join(lines)


def hashes(directory: Path) -> str:
    """A requirements file of all wheels there."""
    rows = []
    for wheel in sorted(directory.glob("*.whl")):
        name, version, *_ = parse_wheel_filename(wheel.name)
        rows.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    return "".join(rows)


def main(command: str, *paths: str) -> None:
    """The command line."""
    if command == "unpack":
        unpack(Path(paths[0]), Path(paths[1]))
    elif command == "repack":
        repack(Path(paths[0]), Path(paths[1]))
    elif command == "needed":
        sys.stdout.write(needed(Path(paths[0]), Path(paths[1])))
    elif command == "hashes":
        sys.stdout.write(hashes(Path(paths[0])))
    else:
        raise SystemExit(
            "usage: payload_wheels.py unpack WHEEL TREE | repack TREE DIRECTORY | needed LOCK WHEEL | hashes DIRECTORY"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
