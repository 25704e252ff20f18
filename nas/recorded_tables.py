"""Imported measurement tables: content-addressed files under the home, written once.

A file's name is the SHA-256 of the table as CSV text, so that the same table, compressed
or not, is kept once. Tables of one space are joined when they are read.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hw_profiles.measurement_table import MeasurementTable, TableError
from nas.home import Home, write_bytes
from predictors.benchmark_tables import join_rows
from search_spaces.errors import NasError
from search_spaces.registry import canonical_name

_SUFFIX: Final = ".csv.gz"
_NOTE: Final = ".json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedTable:
    """One imported table."""

    id: str
    """SHA-256 of the table as CSV text."""
    file_name: str
    """Of the file that it was imported from."""
    imported_at: datetime
    table: MeasurementTable

    @property
    def space(self) -> str:
        """The canonical name of the table's space, which may have another in the table."""
        return canonical_name(self.table.space)


class RecordedTables:
    """The imported tables of one home."""

    def __init__(self, home: Home) -> None:
        self._folder = home.measurement_tables

    def add(self, paths: Sequence[Path]) -> list[tuple[RecordedTable, bool]]:
        """Imports files, all or none; each with whether it is new.

        Raises:
            TableError: if a file is no measurement table; names the row.
            UnknownNameError: if a table is of an unknown space.
            UsageError: if two tables, kept ones among them, disagree on a measurement.
        """
        read = [self._read_new(path) for path in paths]
        known = {table.id: table for table in self.all()}
        for space in dict.fromkeys(table.space for table in read):
            together = {table.id: table for table in (*known.values(), *read) if table.space == space}
            join_rows([table.table for table in together.values()])
        added = []
        for table in read:
            added.append((known.get(table.id, table), table.id not in known))
            if table.id not in known:
                self._write(table)
                known[table.id] = table
        return added

    def all(self) -> tuple[RecordedTable, ...]:
        """Every table, in the order of their import.

        Raises:
            NasError: if a file is damaged.
        """
        paths = self._folder.glob(f"[0-9a-f]*{_SUFFIX}") if self._folder.exists() else ()
        tables = [self._read(path) for path in paths]
        return tuple(sorted(tables, key=lambda table: (table.imported_at, table.id)))

    def of_space(self, space: str, *, before: datetime | None = None) -> MeasurementTable | None:
        """All tables of a space (canonical name), or those imported before a time, as one; None if there are none."""
        tables = [
            recorded.table
            for recorded in self.all()
            if recorded.space == space and (before is None or recorded.imported_at < before)
        ]
        if not tables:
            return None
        return tables[0] if len(tables) == 1 else join_rows(tables)

    def _read_new(self, path: Path) -> RecordedTable:
        table = MeasurementTable.load_in_space(path)
        if not table.latency_ms and not table.accuracy:
            raise TableError(f"{path}: the table has neither a latency_ms:DEVICE nor an accuracy:TASK column.")
        return RecordedTable(id=_id_of(table), file_name=path.name, imported_at=datetime.now(UTC), table=table)

    def _write(self, recorded: RecordedTable) -> None:
        # The note comes first: a table with its note is whole.
        note = {"file_name": recorded.file_name, "imported_at": recorded.imported_at.isoformat()}
        write_bytes(self._folder / f"{recorded.id}{_NOTE}", json.dumps(note).encode())
        write_bytes(self._folder / f"{recorded.id}{_SUFFIX}", recorded.table.to_bytes(compressed=True))

    def _read(self, path: Path) -> RecordedTable:
        table_id = path.name.removesuffix(_SUFFIX)
        try:
            note = json.loads((self._folder / f"{table_id}{_NOTE}").read_text("utf-8"))
            table = MeasurementTable.load(path)
            imported_at = datetime.fromisoformat(note["imported_at"])
            file_name = str(note["file_name"])
        except (TableError, OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path) from error
        if _id_of(table) != table_id:
            raise _damaged(path)
        return RecordedTable(id=table_id, file_name=file_name, imported_at=imported_at, table=table)


def _id_of(table: MeasurementTable) -> str:
    return hashlib.sha256(table.to_csv().encode()).hexdigest()


def _damaged(path: Path) -> NasError:
    return NasError(f"the imported measurement table {path} is damaged; delete it and import its file again.")
