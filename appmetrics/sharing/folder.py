"""`Folder`: where processes meet, and the locks that say who is alive and who leads.

A lock is a ``flock``, held for as long as the process lives, whatever ends it. Slots are
claimed, and others' locks are probed, under ``claim.lock`` only: a probe would look like
an owner to a claimant. Whoever begins a group, and whoever ends it, takes away under
``claim.lock`` what a former one has left. What is in the slots is the matter of ``store``
and ``slot``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

#: Another format has a folder of its own: two versions may run side by side.
FORMAT = "1"
#: How long a claimant waits for others that claim or probe, in seconds.
PATIENCE = 0.25
MAX_SLOTS = 4096

#: Held by whoever claims, probes others' locks or removes files; never removed itself.
CLAIM_LOCK = "claim.lock"
#: Held by the process that sends for all.
LEADER_LOCK = "leader.lock"

#: File systems on which locks or mapped files don't hold between machines.
_REMOTE = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs")


class Unusable(Exception):
    """Why processes can't share numbers in a folder, as a sentence for an operator."""


class Lock:
    """A lock that this process holds; `take` makes one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: str) -> Lock | None:
        """The lock of this file; None if somebody else holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return cls(descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError) and error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise
        os.close(descriptor)  # removed after it was opened: the lock of nothing
        return cls.take(path)

    def sign(self) -> None:
        """Leave this process' id in the file, for who asks."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of it, in the process that took it."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """In a forked child: the lock is the parent's, and to unlock it would free that."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Folder:
    """A private folder that the processes of one configuration and one user share.

    Raises `Unusable`, and makes it if it isn't there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        base = Path(path)
        self.path = str(base / f"format-{FORMAT}")
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_private(base)
            Path(self.path).mkdir(mode=0o700, exist_ok=True)
            _check_private(Path(self.path))
            kind = _file_system(os.path.realpath(self.path))
            if kind.startswith(_REMOTE):
                raise Unusable(f"{base} is on a network file system ({kind})")
            with self.claiming():
                pass
        except OSError as error:
            raise Unusable(f"{base} can't be used: {error.strerror or error}") from error

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    @contextlib.contextmanager
    def claiming(self, patience: float = PATIENCE) -> Iterator[bool]:
        """Hold ``claim.lock`` inside; gives False if others hold it for too long."""
        deadline = time.monotonic() + patience
        lock = Lock.take(self.file(CLAIM_LOCK))
        while lock is None and time.monotonic() < deadline:
            time.sleep(0.002)
            lock = Lock.take(self.file(CLAIM_LOCK))
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def claim(self) -> tuple[int, Lock] | None:
        """The first free slot, and its lock; None if others are claiming for too long.

        If nobody else is alive, all slots start empty.
        """
        with self.claiming() as claiming:
            if not claiming:
                return None
            for number in range(MAX_SLOTS):
                lock = Lock.take(self.file(f"slot-{number}.lock"))
                if lock is not None:
                    break
            else:
                raise Unusable(f"more than {MAX_SLOTS} processes share {self.path}")
            try:
                if not self._alive(but=number):
                    # Not the locks: the last one of a former group may be sending the rest.
                    self._remove(but=(".lock", ".new"))
            except BaseException:
                lock.release()
                raise
            return number, lock

    def leave(self, lock: Lock) -> bool:
        """Let go of a slot's lock; whether nobody else is alive.

        Of several that leave at once, exactly the last one is told so, unless a living
        process keeps them from it by claiming for too long.
        """
        with self.claiming() as claiming:
            lock.release()
            return claiming and not self._alive()

    def sweep(self) -> None:
        """After `leave`, in the last one, which has sent what was left: remove all files but
        ``claim.lock``, which a newcomer may be about to take.

        Nothing, if somebody has come meanwhile, or is still sending. Raises OSError.
        """
        with self.claiming() as claiming:
            if claiming and not self._alive() and not self._held(LEADER_LOCK):
                self._remove(but=(CLAIM_LOCK,))

    def slots(self) -> list[int]:
        """The numbers of all slots that anybody ever had, rising."""
        names = (name for name in os.listdir(self.path) if name.startswith("slot-"))
        return sorted(int(name[5:-5]) for name in names if name.endswith(".lock"))

    def alive(self, but: int | None = None) -> set[int] | None:
        """The slots that a living process holds, without looking at ``but``, one's own.

        None if that can't be said now, because others are claiming.
        """
        with self.claiming(patience=0.0) as claiming:
            if not claiming:
                return None
            return self._alive(but) | ({but} if but is not None else set())

    def _alive(self, but: int | None = None) -> set[int]:
        others = (number for number in self.slots() if number != but)
        return {number for number in others if self._held(f"slot-{number}.lock")}

    def _held(self, name: str) -> bool:
        try:
            descriptor = os.open(self.file(name), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # Not only closed: a child forked off at this moment has the file open, too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _remove(self, but: tuple[str, ...]) -> None:
        """Remove the files whose names end otherwise; who has them mapped keeps the contents."""
        for name in os.listdir(self.path):
            if not name.endswith(but):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.file(name))


def default_folder(key: str) -> str:
    """The run-time folder of a configuration, named by ``key``, and of this user.

    The same for a server's workers and for a process that somebody starts beside them, so
    that no environment variable decides; in memory where the system has a place for that.
    Raises `Unusable`.
    """
    base = "/dev/shm"
    if not os.access(base, os.W_OK):
        from tempfile import gettempdir  # a slow import, seldom needed

        base = gettempdir()
    import hashlib  # loads OpenSSL: late, for those that share

    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    own = Path(base, f"appmetrics-{os.geteuid()}")
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        _check_private(own)
    except OSError as error:
        raise Unusable(f"{own} can't be used: {error.strerror or error}") from error
    return str(own / digest)


def _check_private(path: Path) -> None:
    # Whoever may write there could give us files of his own.
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise Unusable(f"{path} is no folder")
    if status.st_uid != os.geteuid():
        raise Unusable(f"{path} belongs to another user (id {status.st_uid})")
    if status.st_mode & 0o022:
        raise Unusable(f"{path} can be written by other users: chmod 700 it")


def _file_system(path: str) -> str:
    """The kind of file system that a path is on; empty where the system doesn't tell."""
    best = ("", "")
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields, _, rest = line.partition(" - ")
                point = fields.split()[4].replace("\\040", " ")
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best[0]):
                    best = (point, rest.split()[0])
    except (OSError, IndexError):
        return ""
    return best[1]
