"""Files as callers pass them, to save to and to load from: a path, or a binary file object."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from streamlearn.errors import FileAccessError, FileMissingError, SnapshotError, UsageError
from streamlearn.printable import shown

File = str | os.PathLike[str] | IO[bytes] | io.RawIOBase | io.BufferedIOBase


@contextlib.contextmanager
def open_to_save(file: Any) -> Iterator[str | BinaryIO]:
    """Yield the path to save to, which is no folder and in one that exists, or the binary file object.

    Raises
    ------
    FileMissingError
        When there is no folder for the path.
    FileAccessError
        When the file cannot be written; also for an error of the operating system inside the block.
    UsageError
        When it is anything but a path or a binary file object that can be written.
    """
    path = _path_of(file, "save")
    if path is None:
        _check_object(file, "save", "write", "writable")
    else:
        _check_place(path)
    name = _name_of(file, path)
    try:
        yield file if path is None else path
    except SnapshotError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError):
            raise
        reason = f"{cause.strerror or cause}: make room or choose another place; a file that was there is unchanged"
        raise _access_error(f"save: {name} cannot be written: {reason}", cause) from cause


@contextlib.contextmanager
def open_to_load(file: Any) -> Iterator[tuple[BinaryIO, str]]:
    """Yield a seekable file to load from, and its name in errors; a file object stays open.

    Raises
    ------
    FileMissingError
        When there is no file at the path.
    FileAccessError
        When the file cannot be read.
    UsageError
        When it is anything but a path or a binary file object that can be read.
    """
    path = _path_of(file, "load")
    if path is None:
        _check_object(file, "load", "read", "readable")
    name = _name_of(file, path)
    with contextlib.ExitStack() as stack:
        try:
            opened = file if path is None else stack.enter_context(open(path, "rb"))
            if not getattr(opened, "seekable", bool)():
                opened = io.BytesIO(opened.read())
        except FileNotFoundError as error:
            fault = FileMissingError(f"load: there is no file {name}: pass the path of a file that was saved")
            raise _numbered(fault, error) from error
        except OSError as error:
            reason = f"{error.strerror or error}: pass the path of a file that was saved"
            raise _access_error(f"load: {name} cannot be read: {reason}", error) from error
        yield opened, name


def _path_of(file: Any, action: str) -> str | None:
    """Return a path as text; None: it may be a file object."""
    path = os.fspath(file) if isinstance(file, os.PathLike) else file
    if not isinstance(path, str):
        if isinstance(path, bytes):
            raise UsageError(f"{action}: the path {shown(path)} is of type bytes: pass os.fsdecode(path)")
        return None
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        encoded = b""
    if not encoded or b"\0" in encoded:
        raise UsageError(f"{action}: {shown(path)} is not a path of this system: pass the path of a file")
    return path


def _check_place(path: str) -> None:
    folder = os.path.dirname(path) or os.curdir
    try:
        is_folder = stat.S_ISDIR(os.stat(folder).st_mode)
    except FileNotFoundError as error:
        fault = FileMissingError(f"save: there is no folder {folder!r} for {path!r}: create it first")
        raise _numbered(fault, error) from error
    except OSError as error:
        message = f"save: {path!r} cannot be written: {error.strerror}: choose another place"
        raise _access_error(message, error) from error
    if not is_folder:
        error = OSError(errno.ENOTDIR, "")
        raise _access_error(f"save: {folder!r} is not a folder: choose another place than {path!r}", error)
    if os.path.isdir(path):
        error = OSError(errno.EISDIR, "")
        raise _access_error(f"save: {path!r} is a folder: pass the path of a file in it", error)


def _check_object(file: Any, action: str, method: str, able: str) -> None:
    """Refuse what is not a binary file object that is open for an action."""
    if not callable(getattr(file, method, None)):
        raise UsageError(
            f"{action}: {shown(file)} is of type {type(file).__name__}: pass a path, or a binary file object"
        )
    name = _name_of(file, None)
    mode = method[0] + "b"
    if hasattr(file, "encoding"):
        raise UsageError(f"{action}: {name} is a file of text: open it with mode '{mode}', or use io.BytesIO")
    if getattr(file, "closed", False):
        raise UsageError(f"{action}: {name} is closed: open it with mode '{mode}'")
    if not getattr(file, able, lambda: True)():
        raise UsageError(f"{action}: {name} is not {able}: open it with mode '{mode}'")


def _name_of(file: Any, path: str | None) -> str:
    """Return the name of a file in errors: its path, or what the object says of itself."""
    return repr(path) if path is not None else shown(getattr(file, "name", None) or file)


def _access_error(message: str, cause: OSError) -> FileAccessError:
    return _numbered(FileAccessError(message), cause)


def _numbered(fault: FileAccessError, cause: OSError) -> FileAccessError:
    """Return an error with the number that the operating system gave."""
    fault.errno = cause.errno
    return fault
