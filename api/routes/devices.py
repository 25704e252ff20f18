"""Device profiles."""

from fastapi import APIRouter, Depends

from api.dependencies import StoreDep, ViewerDep, refuse_parameters, require_scope
from api.wire import DeviceOut, DevicesOut

router = APIRouter(tags=["devices"], dependencies=[require_scope("read"), Depends(refuse_parameters)])


@router.get("/v1/devices")
def list_devices(store: StoreDep, viewer: ViewerDep) -> DevicesOut:
    """Lists the known device profiles. A profile is a processor with a runtime, threads and batch size."""
    return DevicesOut(
        devices=[
            DeviceOut(
                id=device.profile.id,
                fingerprint=device.profile.fingerprint,
                detected_at=device.detected_at,
                profile=device.profile.as_json(),
                spaces_with_front=list(store.fronts.spaces(device.profile.id, viewer)),
            )
            for device in store.devices.all()
        ]
    )
