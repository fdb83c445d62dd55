"""Files that come with installed packages, found without importing the packages."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from wasmind.errors import PackageMissing


def file_of(package: str, name: str, install: str) -> Path:
    """The file `name` (as the package's list of files has it) of an installed package.

    `install` is the command that installs it. Raises PackageMissing.
    """
    try:
        found = Path(str(metadata.distribution(package).locate_file(name)))
    except metadata.PackageNotFoundError as error:
        raise PackageMissing(f"the package {package} is not installed", remedy=install) from error
    if not found.is_file():
        raise PackageMissing(f"the package {package} has no {name}", remedy=install)
    return found
