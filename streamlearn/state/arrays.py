"""Hash and copy mappings of names to arrays, and pack texts and bytes into arrays.

The state of a model is a mapping of names to arrays and nothing else, so that it can be compared, copied and stored
without knowledge of its meaning.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

_KINDS = frozenset("biuf")
_CHUNK_BYTES = 4 << 20


def plain_array(name: str, array: np.ndarray) -> np.ndarray:
    """Return the array as C-contiguous and little-endian; the same object if it already is.

    Parameters
    ----------
    name
        Name of the array in error messages.
    array
        Booleans, integers or floating-point numbers, any shape.

    Raises
    ------
    TypeError
        The array has any other dtype, such as text or objects.
    """
    check_kind(name, array.dtype)
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def check_kind(name: str, dtype: np.dtype) -> None:
    """Raise `TypeError` for anything but booleans, integers and floating-point numbers of at most 8 bytes."""
    if dtype.kind not in _KINDS or dtype.itemsize > 8:
        raise TypeError(f"array {name!r} has dtype {dtype}; state holds booleans, integers and floats only")


def iter_chunks(array: np.ndarray, size_bytes: int = _CHUNK_BYTES) -> Iterator[np.ndarray]:
    """Yield the array in order as views of at most ``size_bytes``, by default 4 MiB, so that `plain_array` copies no
    more than that at a time."""
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        items = size_bytes // array.itemsize
        for start in range(0, flat.size, items):
            yield flat[start : start + items]
    elif array.nbytes > size_bytes * array.shape[0]:
        for row in array:
            yield from iter_chunks(row, size_bytes)
    else:
        rows = size_bytes * array.shape[0] // array.nbytes
        for start in range(0, array.shape[0], rows):
            yield array[start : start + rows]


def array_bytes(array: np.ndarray) -> memoryview:
    """Return the bytes of a C-contiguous array without a copy."""
    return array.reshape(-1).view(np.uint8).data


def state_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Return 64 hexadecimal digits (BLAKE2b-256) over sorted names, dtypes, shapes and bytes.

    Two states have equal hashes exactly when every array has the same bits. Memory layout and byte order of the arrays
    and the order of the mapping make no difference.

    Raises
    ------
    TypeError
        An array has any other dtype than booleans, integers and floats.
    """
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(arrays):
        array = plain_array(name, arrays[name])
        shape = ",".join(map(str, array.shape))
        header = f"{name}\0{array.dtype.str}\0{shape}\0".encode()
        digest.update(len(header).to_bytes(8, "little"))
        digest.update(header)
        digest.update(array_bytes(array))
    return digest.hexdigest()


def copy_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return C-contiguous, little-endian copies that share no memory with the originals.

    A thread can write them to a snapshot while the owner changes the originals.
    """
    copies = {}
    for name, array in arrays.items():
        plain = plain_array(name, array)
        copies[name] = plain.copy() if np.may_share_memory(plain, array) else plain
    return copies


def pack_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pack texts into one byte array.

    Returns
    -------
    uint8[bytes]
        All texts in UTF-8, one after the other.
    int64[texts + 1]
        Where each text starts; the last entry is the number of bytes.
    """
    return pack_bytes([text.encode("utf-8", "surrogatepass") for text in texts])


def unpack_texts(packed: np.ndarray, offsets: np.ndarray) -> list[str]:
    """Return the texts that `pack_texts` packed.

    Raises
    ------
    ValueError
        The offsets do not fit the bytes, or the bytes are not UTF-8.
    """
    return [data.decode("utf-8", "surrogatepass") for data in unpack_bytes(packed, offsets)]


def pack_bytes(values: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Pack byte strings into one array.

    Returns
    -------
    uint8[bytes]
        All values, one after the other; read-only.
    int64[values + 1]
        Where each value starts; the last entry is the number of bytes.
    """
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
    return np.frombuffer(b"".join(values), dtype=np.uint8), offsets


def unpack_bytes(packed: np.ndarray, offsets: np.ndarray) -> list[bytes]:
    """Return the byte strings that `pack_bytes` packed.

    Raises
    ------
    ValueError
        The offsets do not fit the bytes.
    """
    return list(iter_packed_bytes(packed, offsets))


def iter_packed_bytes(packed: np.ndarray, offsets: np.ndarray) -> Iterator[bytes]:
    """Yield the byte strings that `pack_bytes` packed, one at a time; raises as `unpack_bytes`."""
    edges = offsets.tolist()
    if not edges or edges[0] != 0 or edges[-1] != packed.size or edges != sorted(edges):
        raise ValueError(f"the offsets do not fit the {packed.size} packed bytes")
    data = array_bytes(np.ascontiguousarray(packed))
    for first, end in itertools.pairwise(edges):
        yield bytes(data[first:end])
