"""The versions that decide what tsn computes."""

from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str]:
    """Return the versions of tsn, torch, DALI, HDF5, ffmpeg, the JPEG encoder and, where it is installed, timm."""
    import h5py
    import imageio_ffmpeg
    import torch

    return {
        "tsn": own_version(),
        "torch": torch.__version__,
        "dali": version("nvidia-dali-cuda120"),
        "hdf5": h5py.version.hdf5_version,
        "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
        "simplejpeg": version("simplejpeg"),
        **_of_timm(),
    }


def _of_timm() -> dict[str, str]:
    try:
        return {"timm": version("timm")}
    except PackageNotFoundError:
        return {}


def own_version() -> str:
    """Return the version of tsn, also where it runs from a checkout that is not installed."""
    try:
        return version("tsn")
    except PackageNotFoundError:
        return "uninstalled"
