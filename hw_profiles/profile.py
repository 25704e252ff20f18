"""Device profiles: a processor with a runtime, a thread count and a batch size.

Latency belongs to all of them at once, so on one machine there are honestly several
devices. A profile is a flat TOML file.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from hw_profiles.errors import ProfileError
from search_spaces.precision import PRECISIONS, SPECS, Precision

Execution = Literal["native", "emulated"]
"""``native``: kernels compute in that precision. ``emulated``: values are rounded to it, the arithmetic is float."""

_TIMING_FIELDS: Final = (
    "runtime",
    "runtime_version",
    "processor",
    "architecture",
    "isa",
    "cores",
    "threads",
    "batch",
    "precisions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """One way to run networks on one processor.

    Raises:
        ProfileError: if a field is empty, a count is below 1 or a precision is unknown.
    """

    id: str
    """``DEVICE/RUNTIME``, such as ``local-cpu/tvm``."""
    device: str
    """The host or the agent that it belongs to."""
    runtime: str
    runtime_version: str
    """Version of the runtime and of the recipe that compiles with it: either changes timings."""
    processor: str
    """Model name as the processor states it."""
    architecture: str
    """Machine architecture, such as ``x86_64``."""
    isa: tuple[str, ...]
    """Instruction sets that matter to kernels, sorted."""
    cores: int
    threads: int = 1
    batch: int = 1
    precisions: Mapping[Precision, Execution] = field(hash=False)
    """How the kernels that this runtime really launches execute each precision."""
    weight_bits: Mapping[Precision, int] = field(default_factory=dict, hash=False)
    """Bits that an artifact stores for a weight, by the precision of its unit.

    A precision that is not given has its own width where it is native, else 32.
    """

    def __post_init__(self) -> None:
        for name in ("id", "device", "runtime", "runtime_version", "processor", "architecture"):
            if not getattr(self, name):
                raise ProfileError(f"device profile {self.id!r} has an empty {name}; give one.")
        for name in ("cores", "threads", "batch"):
            if getattr(self, name) < 1:
                raise ProfileError(
                    f"device profile {self.id!r} has {name} = {getattr(self, name)}; at least 1 is needed."
                )
        if self.threads > self.cores:
            raise ProfileError(
                f"device profile {self.id!r} wants {self.threads} threads on {self.cores} cores; reduce threads."
            )
        for precision, execution in self.precisions.items():
            if precision not in PRECISIONS or execution not in get_args(Execution):
                raise ProfileError(
                    f"device profile {self.id!r} has precision {precision} as {execution}; precisions are "
                    f"{', '.join(PRECISIONS)}, each {' or '.join(get_args(Execution))}."
                )
        if "fp32" not in self.precisions:
            raise ProfileError(f"device profile {self.id!r} does not execute fp32; every profile must.")
        for precision, bits in self.weight_bits.items():
            if precision not in PRECISIONS or isinstance(bits, bool) or bits not in (4, 8, 16, 32):
                raise ProfileError(
                    f"device profile {self.id!r} stores {precision} weights in {bits!r} bits; give 4, 8, 16 or 32 for "
                    f"{' or '.join(PRECISIONS)}."
                )
        stored = {
            precision: self.weight_bits.get(precision, SPECS[precision].weight_bits if execution == "native" else 32)
            for precision, execution in self.precisions.items()
        }
        object.__setattr__(self, "precisions", MappingProxyType(dict(self.precisions)))
        object.__setattr__(self, "weight_bits", MappingProxyType(stored))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every field that changes timings: measurements compare only within one.

        A precision that is only emulated changes none of the others' timings.
        """
        row = self._as_json(_TIMING_FIELDS)
        row["precisions"] = {name: how for name, how in row["precisions"].items() if how == "native"}
        return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()

    def on_host(self, host: str) -> "DeviceProfile":
        """The same as a device of a host: ``HOST/RUNTIME``, or ``HOST/RUNTIME@THREADS,BATCH`` if either is not 1."""
        variant = "" if (self.threads, self.batch) == (1, 1) else f"@{self.threads},{self.batch}"
        return replace(self, id=f"{host}/{self.runtime}{variant}", device=host)

    def executes(self, precision: Precision) -> Execution | None:
        """How a precision is executed on this device; None if it is not."""
        return self.precisions.get(precision)

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return self._as_json(tuple(entry.name for entry in fields(self)))

    def _as_json(self, names: tuple[str, ...]) -> dict[str, Any]:
        row = {name: getattr(self, name) for name in names}
        mappings = {name: dict(row[name]) for name in ("precisions", "weight_bits") if name in row}
        return row | {"isa": list(self.isa)} | mappings

    @classmethod
    def from_json(cls, row: Mapping[str, Any], *, source: str = "the given profile") -> "DeviceProfile":
        """Inverse of :meth:`as_json`.

        Raises:
            ProfileError: if a field is missing, unknown or of another type; ``source`` names the place.
        """
        expected = {
            "id": str, "device": str, "runtime": str, "runtime_version": str, "processor": str, "architecture": str,
            "isa": list, "cores": int, "threads": int, "batch": int, "precisions": dict,
            "weight_bits": dict,
        }  # fmt: skip
        defaults: dict[str, Any] = {"threads": 1, "batch": 1, "weight_bits": {}}
        row = defaults | dict(row)
        wrong = sorted(expected.keys() ^ row.keys())
        if wrong:
            raise ProfileError(
                f"{source} has missing or unknown fields {', '.join(wrong)}; fields: {', '.join(expected)}."
            )
        for name, kind in expected.items():
            if not isinstance(row[name], kind) or isinstance(row[name], bool):
                raise ProfileError(f"{source} has {name} = {row[name]!r}; {kind.__name__} is needed.")
        return cls(**(row | {"isa": tuple(str(entry) for entry in row["isa"])}))

    def to_toml(self) -> str:
        """The profile as a TOML document."""
        row = self.as_json()
        tables = {name: row.pop(name) for name in ("precisions", "weight_bits")}
        # JSON strings, integers and arrays of strings are TOML as they stand.
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in row.items()]
        for title, table in tables.items():
            lines += ["", f"[{title}]", *(f"{name} = {json.dumps(value)}" for name, value in sorted(table.items()))]
        return "\n".join([*lines, ""])

    @classmethod
    def load(cls, path: Path) -> "DeviceProfile":
        """Reads a TOML profile.

        Raises:
            ProfileError: if the file is missing, is not TOML or is not a profile.
        """
        try:
            row = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ProfileError(f"device profile {path} cannot be read: {error}; see `hwnas devices --help`.") from error
        return cls.from_json(row, source=f"device profile {path}")

    def save(self, path: Path) -> None:
        """Writes the profile as TOML."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_toml(), "utf-8")
