"""The list of what is uploaded: printed first, sent afterwards, the same object."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table


@dataclass(frozen=True)
class Listing:
    """What will be in the repository.

    Attributes:
        repo_id: `user/name`.
        folders: Revision -> folder that holds exactly its files, in the order in which they are sent.
        tag: Set on `main` at the very end.
    """

    repo_id: str
    folders: Mapping[str, Path]
    tag: str

    def files(self, revision: str) -> dict[str, int]:
        """Path in the repository -> size in bytes."""
        folder = self.folders[revision]
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}

    @property
    def size(self) -> int:
        """Bytes of all revisions."""
        return sum(sum(self.files(revision).values()) for revision in self.folders)


def print_listing(listing: Listing, console: Console) -> None:
    """Prints every file with its size, revision by revision."""
    table = Table("revision", "file", "bytes", title=f"{listing.repo_id}, tagged {listing.tag}", title_justify="left")
    table.columns[2].justify = "right"
    table.columns[1].overflow = table.columns[0].overflow = "fold"
    for revision in listing.folders:
        for path, size in listing.files(revision).items():
            table.add_row(revision, path, f"{size:,}")
        table.add_section()
    console.print(table)
    console.print(f"{decimal(listing.size)} in all", highlight=False)
