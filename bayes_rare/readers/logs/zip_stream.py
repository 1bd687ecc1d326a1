"""Members of a zip archive as streams, for each kind of compression.

Nothing is unpacked to disk, no member is held in memory as a whole, and the directory
is read entry by entry, as it takes a hundred megabytes for a million members. Inspect
compresses with zstd, which Python's zipfile reads only from version 3.14.
"""

import struct
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from bayes_rare.errors import InvalidData
from bayes_rare.readers.logs.json_stream import CHUNK, opened

__all__ = ["Archive", "Member", "opened_archive"]

_END, _WIDE_END, _WIDE_LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
# Layouts after the four bytes of the signature, from the specification of zip.
_END_LAYOUT = struct.Struct("<4HLLH")
_WIDE_END_LAYOUT = struct.Struct("<QHHLLQQQQ")
_WIDE_LOCATOR_LAYOUT = struct.Struct("<LQL")
_ENTRY_LAYOUT = struct.Struct("<6H3L5H2L")
_LOCAL_LAYOUT = struct.Struct("<5H3L2H")
# Largest length of the comment after the end of the directory.
_COMMENT = 0xFFFF
_WIDE, _WIDE_EXTRA = 0xFFFFFFFF, 1
_ENCRYPTED, _UTF8 = 1, 0x800
_STORED, _DEFLATED, _ZSTD = 0, 8, 93
# Logs are compressed up to a hundredfold; deflate reaches at most 1,032, as zip bombs
# do.
_LARGE, _RATIO = 1 << 26, 1_000


@dataclass(frozen=True)
class Member:
    """An entry of an archive's directory."""

    name: str  # path within the archive
    method: int  # 0 stored, 8 deflate, 93 zstd
    flags: int
    checksum: int  # CRC-32 of its content
    packed: int  # bytes in the archive
    size: int  # bytes of its content
    offset: int  # of its beginning in the archive


class Archive:
    """An open zip archive, and those of its members whose names are ``wanted``."""

    def __init__(
        self, path: Path, file: BinaryIO, wanted: Callable[[str], bool]
    ) -> None:
        self.path = path
        self._file = file
        self.count = 0
        """Number of members of any kind."""
        self.members: dict[str, Member] = {}
        """Wanted members by name; the last one if a name occurs several times."""
        self._read_directory(wanted)

    def chunks(self, name: str) -> Generator[bytes]:
        """The content of a member, piece by piece, checked as it is read."""
        member = self.members[name]
        self._refuse_bomb(member)
        if member.flags & _ENCRYPTED:
            raise self._broken("is encrypted. Give the log as Inspect wrote it", name)
        unpack = _DECODERS.get(member.method)
        if unpack is None:
            raise self._broken(
                f"is compressed with method {member.method}, not stored (0), deflate "
                "(8) or zstd (93). Compress it again with one of these",
                name,
            )
        checksum, size = 0, 0
        try:
            for piece in unpack(_Slice(self._file, *self._extent(member))):
                size += len(piece)
                if size > member.size:
                    raise self._broken(
                        f"unpacks to more than the {member.size:,} bytes that the "
                        "directory says. Copy the log again from its source",
                        name,
                    )
                checksum = zlib.crc32(piece, checksum)
                yield piece
        except (zlib.error, OSError, EOFError) as error:
            raise self._broken(
                f"cannot be unpacked ({error}). Copy the log again from its source",
                name,
            ) from error
        if size != member.size or checksum != member.checksum:
            raise self._broken(
                f"is damaged: {size:,} of {member.size:,} bytes, checksum "
                f"{checksum:08x} instead of {member.checksum:08x}. Copy the log again "
                "from its source",
                name,
            )

    def place(self, name: str) -> str:
        """The name of a member in messages."""
        return f"{self.path}, member {name}"

    def _broken(self, what: str, name: str | None = None) -> InvalidData:
        return InvalidData(f"{self.path if name is None else self.place(name)} {what}.")

    def _refuse_bomb(self, member: Member) -> None:
        if member.size > _LARGE and member.size > _RATIO * max(member.packed, 1):
            raise self._broken(
                f"unpacks from {member.packed:,} bytes to {member.size:,}, more than "
                f"{_RATIO:,} times as much: it looks like a zip bomb. If you trust it, "
                "convert it with `inspect log convert`",
                member.name,
            )

    def _extent(self, member: Member) -> tuple[int, int]:
        """Where the packed bytes of a member begin, and how many there are."""
        head = self._exactly(member.offset, 4 + _LOCAL_LAYOUT.size, member.name)
        if head[:4] != _LOCAL:
            raise self._broken(
                f"does not begin at byte {member.offset:,}, where the directory says. "
                "Copy the log again from its source",
                member.name,
            )
        *_, name, extra = _LOCAL_LAYOUT.unpack(head[4:])
        begin = member.offset + len(head) + name + extra
        if begin + member.packed > self._limit:
            raise self._broken(
                "reaches into the archive's directory. Copy the log again from its "
                "source",
                member.name,
            )
        return begin, member.packed

    def _exactly(self, at: int, size: int, name: str | None = None) -> bytes:
        self._file.seek(at)
        found = self._file.read(size)
        if len(found) < size:
            raise self._broken("is cut off. Copy the log again from its source", name)
        return found

    def _read_directory(self, wanted: Callable[[str], bool]) -> None:
        entries, size, begin = self._end_of_directory()
        self._limit = begin
        self._file.seek(begin)
        left = size
        for _ in range(entries):
            head = self._file.read(4 + _ENTRY_LAYOUT.size)
            if len(head) < 4 + _ENTRY_LAYOUT.size or head[:4] != _ENTRY or left <= 0:
                raise self._broken(
                    f"has a damaged directory, which lists {self.count:,} of "
                    f"{entries:,} members. Copy the log again from its source"
                )
            self.count += 1
            left -= self._read_entry(head[4:], wanted) + len(head)

    def _read_entry(self, head: bytes, wanted: Callable[[str], bool]) -> int:
        (_, _, flags, method, _, _, checksum, packed, size, *rest) = (
            _ENTRY_LAYOUT.unpack(head)
        )
        name_size, extra_size, comment_size, *_, offset = rest
        tail = self._file.read(name_size + extra_size + comment_size)
        raw = tail[:name_size]
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437", errors="replace")
        if name[:1] in "/\\" or (
            ".." in name and ".." in PurePosixPath(name.replace("\\", "/")).parts
        ):
            raise self._broken(
                f"has a member named {name!r}, which points out of the archive. "
                "Inspect does not write such names. Do not unpack it"
            )
        if wanted(name):
            sizes = _widened(
                tail[name_size : name_size + extra_size], size, packed, offset
            )
            if sizes is None:
                raise self._broken(
                    "has a damaged entry in its directory. Copy the log again from its "
                    "source",
                    name,
                )
            size, packed, offset = sizes
            # The last one of a name counts.
            self.members.pop(name, None)
            self.members[name] = Member(
                name, method, flags, checksum, packed, size, offset + self._shift
            )
        return len(tail)

    def _end_of_directory(self) -> tuple[int, int, int]:
        """Number of entries, size and offset of the directory."""
        length = self._file.seek(0, 2)
        reach = min(length, _COMMENT + 4 + _END_LAYOUT.size)
        tail = self._exactly(length - reach, reach)
        at = tail.rfind(_END)
        if at < 0 or len(tail) - at < 4 + _END_LAYOUT.size:
            started = self._exactly(0, min(4, length)) == _LOCAL
            raise self._broken(
                "is a zip archive without its directory, which should be at the end: "
                "it is cut off. Copy the log again from its source"
                if started
                else "is not a zip archive, as an .eval log should be. Give a log that "
                "Inspect wrote; its JSON logs end in .json"
            )
        end = length - reach + at
        _, _, _, entries, size, begin, _ = _END_LAYOUT.unpack_from(tail, at + 4)
        wide = 4 + _WIDE_LOCATOR_LAYOUT.size
        if end >= wide:
            locator = self._exactly(end - wide, wide)
            if locator[:4] == _WIDE_LOCATOR:
                _, where, _ = _WIDE_LOCATOR_LAYOUT.unpack(locator[4:])
                head = self._exactly(where, 4 + _WIDE_END_LAYOUT.size)
                if head[:4] != _WIDE_END:
                    raise self._broken(
                        "has a damaged end. Copy the log again from its source"
                    )
                *_, entries, size, begin = _WIDE_END_LAYOUT.unpack(head[4:])
                end = where
        # Bytes before the archive shift all offsets.
        self._shift = end - size - begin
        if self._shift < 0 or begin + self._shift + size > length:
            raise self._broken(
                "has a directory that is not where its end says: part of it is "
                "missing. Copy the log again from its source"
            )
        return entries, size, begin + self._shift


@contextmanager
def opened_archive(path: Path, wanted: Callable[[str], bool]) -> Generator[Archive]:
    """An archive that is closed at the end.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.zip"
    ...     with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
    ...         made.writestr("header.json", "{}")
    ...     with opened_archive(path, lambda name: True) as archive:
    ...         list(archive.members), b"".join(archive.chunks("header.json"))
    (['header.json'], b'{}')
    """
    with opened(path) as file:
        yield Archive(path, file, wanted)


class _Slice:
    """A part of a file, read in order."""

    def __init__(self, file: BinaryIO, begin: int, size: int) -> None:
        self._file = file
        self._at = begin
        self._left = size
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        self._file.seek(self._at)
        found = self._file.read(size)
        self._at += len(found)
        self._left -= len(found)
        return found

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def _widened(
    extra: bytes, size: int, packed: int, offset: int
) -> tuple[int, int, int] | None:
    """Sizes and offset, from the extra field if they do not fit into 32 bits."""
    fields = [size, packed, offset]
    if _WIDE not in fields:
        return size, packed, offset
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _WIDE_EXTRA:
            body = extra[4 : 4 + length]
            wide = [number for number, value in enumerate(fields) if value == _WIDE]
            if len(body) < 8 * len(wide):
                return None
            for number, value in zip(
                wide, struct.unpack_from(f"<{len(wide)}Q", body), strict=True
            ):
                fields[number] = value
            return fields[0], fields[1], fields[2]
        extra = extra[4 + length :]
    return None


def _stored(file: _Slice) -> Generator[bytes]:
    while piece := file.read(CHUNK):
        yield piece


def _inflated(file: _Slice) -> Generator[bytes]:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    for packed in _stored(file):
        left = packed
        while left and not unpacker.eof:
            yield unpacker.decompress(left, CHUNK)
            left = unpacker.unconsumed_tail
    while not unpacker.eof:
        piece = unpacker.decompress(unpacker.unconsumed_tail, CHUNK)
        if not piece:
            raise EOFError("it ends too early")
        yield piece


def _unpacked_zstd(file: _Slice) -> Generator[bytes]:
    stream, failures = _zstd_stream(file)
    while True:
        try:
            piece = stream.read(CHUNK)
        except failures as error:
            raise EOFError(str(error)) from error
        if not piece:
            return
        yield piece


def _zstd_stream(file: _Slice) -> tuple[Any, tuple[type[Exception], ...]]:
    """A decompressing stream, and the exceptions that it raises."""
    pa = cast("Any", import_module("pyarrow"))
    if pa.Codec.is_available("zstd"):
        stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
        return stream, (OSError, ValueError)
    try:
        zstandard = import_module("zstandard")
    except ImportError as error:
        raise InvalidData(
            "this log is compressed with zstd, which the installed PyArrow does not "
            "support. Install a reader: pip install 'bayes-rare[inspect]'."
        ) from error
    unpacker = zstandard.ZstdDecompressor()
    return unpacker.stream_reader(file, read_across_frames=True), (
        zstandard.ZstdError,
        OSError,
    )


_DECODERS: dict[int, Callable[[_Slice], Generator[bytes]]] = {
    _STORED: _stored,
    _DEFLATED: _inflated,
    _ZSTD: _unpacked_zstd,
}
