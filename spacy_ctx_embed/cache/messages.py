"""Warnings of the cache. What goes wrong here costs time, never a result, so that it does not stop a training."""


class Warnings:
    """Message templates; fill with ``str.format``. Each is given once per folder and process."""

    W001 = (
        "[CW001] cache_dir: what was kept in {folder} for one or more texts is damaged: its checksum does not match. "
        "It is not used: the vectors are computed again and written over it. Fix: none is needed; if this comes back, "
        "check the disk."
    )
    W002 = (
        "[CW002] cache_dir: {folder} can't be written ({reason}). What is there is still read, nothing is added any "
        "more, and no vector is lost or wrong. Fix: free some space, or set 'cache_dir' to a folder on another disk; "
        "then start again."
    )
    W003 = (
        "[CW003] cache_dir: {folder} can't be read any more ({reason}), so that this process goes on without it. No "
        "vector is lost or wrong. Fix: remove the folder when no process uses it; it is filled again."
    )
