"""The command extract-frames: a folder of videos to a folder of frame shards, by threads here or by a Dask cluster.

A shard depends on nothing but its slice of the sorted list of videos and the settings. So whatever is interrupted, in
whatever order and by whomever the shards are made, the files are the same, and a rerun makes those that are missing.
"""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tsn.pipeline.extract.dask_cluster import cluster_workers
from tsn.pipeline.extract.ffmpeg_command import FrameSettings
from tsn.pipeline.extract.originals import SUFFIX, originals_path, replaced_videos
from tsn.pipeline.extract.shard import ShardJob
from tsn.pipeline.extract.video import made_with
from tsn.pipeline.extract.videos import Source, VideoListing, find_videos, passed_over
from tsn.pipeline.extract.workers import Workers, local_workers
from tsn.tsn_shared.console import Progress, counted, json_text, say, some
from tsn.tsn_shared.errors import DataError, PartialError, SettingsError
from tsn.tsn_shared.fields import flag_of
from tsn.tsn_shared.files import locked, write_text, writing
from tsn.tsn_shared.settings import ExtractSettings
from tsn.tsn_shared.shards import ShardTables, find_shards, read_tables, shard_name

FAILURES = "failures.jsonl"
"""List of the videos that failed, one JSON object a line: name, file, reason, shard."""

WAY_OUT = "--overwrite starts again, or set another --out"
"""What to do with a folder of another extraction."""

SHOWN = 20
"""Failed videos that are printed before they are only counted."""


def extract_frames(videos: Path, settings: ExtractSettings) -> None:
    """Extract the videos below a folder into `settings.out`; what is there and finished is kept.

    PartialError when videos failed, unless `settings.allow_failed`; SettingsError when the folder holds another
    extraction, DataError without videos, TsnError when the disk is full.
    """
    found = find_videos(videos)
    busy = f"{settings.out} is in use by another extraction: wait for it, or set another --out"
    with (
        writing(settings.out, "put that right", then=" and run again; finished shards are kept"),
        locked(settings.out, busy),
        _terminable(),
    ):
        try:
            _extract(found, settings)
        except KeyboardInterrupt:
            without = " without --overwrite" * settings.overwrite
            say(f"finished shards are kept in {settings.out}: the same command{without} goes on with the others")
            raise


def _extract(found: VideoListing, settings: ExtractSettings) -> None:
    jobs = plan_shards(found.videos, settings)
    replaced = find_shards(settings.out) if settings.overwrite else []
    missing = jobs if settings.overwrite else missing_shards(jobs, settings)
    _announce(found, jobs, missing, settings)
    if missing:
        make_shards(missing, settings, replaced)
    tables = [(job.path, read_tables(job.path)) for job in jobs]
    _report(tables, found, settings)


def plan_shards(videos: tuple[Source, ...], settings: ExtractSettings) -> list[ShardJob]:
    """Cut the sorted list of videos into slices, one a shard."""
    each = settings.videos_per_shard
    stated = {
        "size": settings.size,
        "quality": settings.quality,
        "videos_per_shard": each,
        **made_with(),
    }
    frames = FrameSettings(size=settings.frame_size, quality=settings.quality)
    return [
        ShardJob(
            path=settings.out.absolute() / shard_name(number),
            videos=videos[start : start + each],
            frames=frames,
            settings=stated,
        )
        for number, start in enumerate(range(0, len(videos), each))
    ]


def missing_shards(jobs: list[ShardJob], settings: ExtractSettings) -> list[ShardJob]:
    """Return the jobs that are still to do; SettingsError when the folder holds shards of another extraction."""
    planned = {job.path.name for job in jobs}
    beyond = [path.name for path in find_shards(settings.out) if path.name not in planned]
    if beyond:
        with suppress(DataError):  # a damaged one does not say what it was made with
            path = settings.out / beyond[0]
            _refuse_other_settings(path, jobs[0].settings, read_tables(path).settings)
        more = counted(len(beyond), "shard")
        raise SettingsError(
            f"{settings.out} holds {more} more than these videos fill, the first is {beyond[0]}: {WAY_OUT}"
        )
    missing = []
    for job in jobs:
        if not job.path.exists():
            missing.append(job)
            continue
        try:
            tables = read_tables(job.path)
        except DataError as error:
            say(f"{error}; it is made again now")
            missing.append(job)
            continue
        _refuse_other(job, tables)
        _refuse_replaced(job, tables)
        if settings.retry_failed and tables.failures:
            missing.append(replace(job, keep=True))
    return missing


def _refuse_other(job: ShardJob, tables: ShardTables) -> None:
    """Refuse a shard that was made with other settings or of other videos, with the difference."""
    _refuse_other_settings(job.path, job.settings, tables.settings)
    there = {*tables.names, *(name for name, _ in tables.failures)}
    wanted = {video.name for video in job.videos}
    if there != wanted:
        new, gone = sorted(wanted - there), sorted(there - wanted)
        words = " and ".join(
            f"{len(names)} {word} ({names[0]})" for names, word in ((new, "new"), (gone, "gone")) if names
        )
        raise SettingsError(f"{job.path} was extracted from other videos: {words}; {WAY_OUT}")


def _refuse_other_settings(path: Path, now: dict[str, Any], was: dict[str, Any]) -> None:
    """Refuse a shard that was made with other settings, with those that differ."""
    changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if changed:
        words = ", ".join(f"{_named(name)} was {was.get(name)}, is {now.get(name)}" for name in changed)
        raise SettingsError(f"{path} was extracted with other settings: {words}; {WAY_OUT}")


def _refuse_replaced(job: ShardJob, tables: ShardTables) -> None:
    """Refuse a shard whose videos were replaced under their names; one that failed may be, to be tried again."""
    done = set(tables.names)
    if names := replaced_videos(job.path, [video for video in job.videos if video.name in done]):
        raise SettingsError(
            f"{job.path} holds frames of other videos: {counted(len(names), 'video')} replaced since ({some(names)}): "
            "delete it to have it made again, --overwrite starts again, or set another --out"
        )


def _named(setting: str) -> str:
    return flag_of(setting) if hasattr(ExtractSettings, setting) else setting


def _announce(found: VideoListing, jobs: list[ShardJob], missing: list[ShardJob], settings: ExtractSettings) -> None:
    if found.frame_folders:
        say(f"{counted(found.frame_folders, 'folder')} of numbered pictures: each is a video whose frames are there")
    if found.passed_over:
        say(f"passed over: {passed_over(found.passed_over)}")
    if found.archive is not None:
        say(f"{found.archive} is an archive: unpack it first where its videos are wanted")
    if found.unread:
        say(found.unread)
    if found.empty:
        say(f"warning: no video in {counted(len(found.empty), 'folder')}: {some([str(path) for path in found.empty])}")
    if not missing:
        all_of = f"all {len(jobs):,} shards are" if len(jobs) > 1 else "its shard is"
        say(f"{settings.out}: nothing to do, {all_of} there")
    elif done := len(jobs) - len(missing):
        say(f"{settings.out}: {done:,} of {counted(len(jobs), 'shard')} {'are' if done > 1 else 'is'} there")
    kept = {job.path for job in jobs} - {job.path for job in missing}
    if unknown := [path for path in kept if not originals_path(path).exists()]:
        say(f"{counted(len(unknown), 'shard')} without {SUFFIX[1:]} beside them: a replaced video is not noticed there")


def make_shards(jobs: list[ShardJob], settings: ExtractSettings, replaced: Sequence[Path] = ()) -> None:
    """Make these shards, by threads or the cluster that the settings name, with progress.

    Those that are `replaced` go first, once there is somebody to make the new ones.
    """
    videos = sum(len(job.videos) for job in jobs)
    with Progress("extracting", total=videos, unit="video") as progress:
        workers: Workers = (
            local_workers(jobs, settings.jobs, progress)
            if settings.dask is None
            else cluster_workers(settings.dask, settings.jobs, progress)
        )
        with workers as submit:
            for path in replaced:
                path.unlink()
                originals_path(path).unlink(missing_ok=True)
            futures = [submit(job) for job in jobs]
            for future in as_completed(futures):
                future.result()


def _report(shards: list[tuple[Path, ShardTables]], found: VideoListing, settings: ExtractSettings) -> None:
    """Say what is there, and end with PartialError when videos failed, unless they may."""
    out = settings.out
    done = sum(len(tables.names) for _, tables in shards)
    frames = sum(len(tables.crc32) for _, tables in shards)
    size = sum(path.stat().st_size for path, _ in shards)
    there = f"{counted(frames, 'frame')} of {counted(done, 'video')} in {counted(len(shards), 'shard')}"
    say(f"{out}: {there}, {size / 1e9:.2f} GB")
    if noted := [note for _, tables in shards for note in tables.notes if note]:
        say(f"with a note (tsn info {out}): {counted(len(noted), 'video')}, the first: {noted[0]}")
    files = {video.name: video.path for video in found.videos}
    failures = [(name, reason, path.name) for path, tables in shards for name, reason in tables.failures]
    _write_failures(out / FAILURES, failures, files)
    if not failures:
        return
    for name, reason, _ in failures[:SHOWN]:
        say(f"  {files[name]}: {reason}")
    if len(failures) > SHOWN:
        say(f"  and {len(failures) - SHOWN} more")
    words = f"{len(failures):,} of {counted(len(files), 'video')} failed, as {out / FAILURES} lists"
    if not settings.allow_failed:
        raise PartialError(
            f"{words}: repair what failed and run again with --retry-failed, or go on without, with --allow-failed"
        )
    say(words)


def _write_failures(path: Path, failures: list[tuple[str, str, str]], files: dict[str, Path]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    rows = [
        {"name": name, "file": str(files[name]), "reason": reason, "shard": shard} for name, reason, shard in failures
    ]
    write_text(path, "".join(json_text(row) + "\n" for row in rows))


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
