"""Bodies about data sets."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.wire import PageOut, PageQuery
from nas.jobs.requests import MAX_INTEGER, ClientRequest, Hash

DataSetStateName = Literal["uploading", "ready", "refused"]
DataSetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class DataSetRequest(ClientRequest):
    """A data set to upload."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "flowers", "size_bytes": 52_428_800, "sha256": "5f" * 32}}
    )

    name: DataSetName = Field(description="Shown by supernets and fronts as `npz:NAME.npz`.")
    size_bytes: int = Field(ge=1, le=MAX_INTEGER, description="Length of the npz file.")
    sha256: Hash = Field(description="SHA-256 of the npz file.")


class DataSetsQuery(PageQuery):
    """Query of the data sets."""

    state: DataSetStateName | None = Field(None, description="Only data sets in this state.")


class DataSetOut(BaseModel):
    """An uploaded data set."""

    id: str
    url: str
    name: str
    state: DataSetStateName = Field(
        description="`uploading` until every byte is there and has been checked; `refused` if the file is no data set."
    )
    data: str = Field(description="What trainings name it by, once it is ready.")
    size_bytes: int
    offset_bytes: int = Field(description="How many bytes are there; the next request starts there.")
    sha256: str
    task: dict[str, int] | None = Field(description="Shape of the images and number of classes, once it is ready.")
    classes: list[str] | None
    images_train: int | None
    images_test: int | None
    data_fingerprint: str | None = Field(description="SHA-256 of the arrays, as supernets have it.")
    error: str | None = Field(description="Why it was refused.")
    created_at: datetime


class DataSetsOut(PageOut):
    """A page of data sets, newest first."""

    data_sets: list[DataSetOut]
