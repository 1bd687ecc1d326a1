"""Streams of JSON and members of archives: against Python's own, whole and damaged."""

import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_rare.errors import InvalidData
from bayes_rare.readers.logs import zip_stream
from bayes_rare.readers.logs.json_stream import MOST, JsonStream, json_lines
from bayes_rare.readers.logs.zip_stream import opened_archive

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def stream(content: bytes, size: int = 1 << 20) -> JsonStream:
    return JsonStream(pieces(content, size), "the log")


@given(VALUES, st.integers(1, 9), st.booleans())
def test_a_value_is_that_of_json_however_it_is_cut(
    value: Any, size: int, ascii_only: bool
) -> None:
    content = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
    read = stream(content, size)
    assert read.value() == json.loads(content)
    read.end()


@given(VALUES, VALUES, st.integers(1, 9))
def test_what_is_passed_over_leaves_what_follows(
    first: Any, second: Any, size: int
) -> None:
    content = json.dumps([first, second, first], indent=1).encode("utf-8", "replace")
    read = stream(content, size)
    parts = read.elements()
    next(parts)
    read.skip()
    next(parts)
    assert read.value() == json.loads(content)[1]
    next(parts)
    read.skip()
    assert list(parts) == []
    read.end()


def test_bare_nan_and_a_byte_order_mark_are_read() -> None:
    read = stream(b'\xef\xbb\xbf{"a": NaN, "b": [-Infinity]}', 3)
    found = {key: read.value() for key in read.object_keys()}
    assert found["a"] != found["a"]
    assert found["b"] == [float("-inf")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Expecting value"),
        (b'{"a": [1, 2', "Expecting"),
        (b'{"a": "never ends', "Unterminated string"),
        (b'{"a": nonsense}', "Expecting value, near"),
        (b'{"a" 1}', "Expecting ':'"),
        (b"[" * 100_000, "recursion"),
        (b"1" * 5_000, "integer string conversion"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(content: bytes, said: str) -> None:
    with pytest.raises(
        InvalidData, match=f"the log is not valid JSON at character.*{said}"
    ):
        stream(content).value()


@pytest.mark.parametrize(
    "content", [b'[{"a": [1, "x', b'["never ends', b"[[[1, 2]", b'["x\\']
)
def test_a_cut_inside_what_is_passed_over_is_refused(content: bytes) -> None:
    read = stream(content, 3)
    next(read.elements())
    with pytest.raises(InvalidData, match=r"it is cut off.*copy it again"):
        read.skip()


def test_bytes_that_are_not_utf8_are_refused_with_their_place() -> None:
    content = b'{"a": "' + "é".encode() * 10 + b"\xff" + b'"}'
    with pytest.raises(InvalidData, match=r"not UTF-8 at byte 27 \(0xff\).*iconv"):
        stream(content, 5).value()


def test_more_after_the_end_is_refused() -> None:
    read = stream(b"{} {}")
    read.value()
    with pytest.raises(InvalidData, match="there is more after its end"):
        read.end()


def test_a_value_without_end_is_refused_and_not_held() -> None:
    endless = (b'["' if number == 0 else b"x" * (1 << 20) for number in range(1 << 20))
    read = JsonStream(endless, "the log")
    for _ in read.elements():
        with pytest.raises(InvalidData, match=f"no end within {MOST:,} characters"):
            read.value()
        break


def test_what_is_passed_over_is_never_held() -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"long": "'
        for _ in range(200):
            yield b"x" * (1 << 20)
        yield b'", "kept": 1}'

    read = JsonStream(endless(), "the log")
    tracemalloc.start()
    for key in read.object_keys():
        if key == "kept":
            assert read.value() == 1
        else:
            read.skip()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1}\n\n{"a": ', "line 3 is not valid JSON.*last line may be cut off"),
        (b'{"a": 1}\n{"a": "\xff"}\n', r"line 2 is not UTF-8 at byte 7 \(0xff\)"),
        (b"\xff\xfe{\x00", "line 1 is not UTF-8 at byte 0"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=said):
        list(json_lines(path))


def test_a_missing_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"cannot read .*Give a file"):
        list(json_lines(tmp_path))


# Archives.


def zstd(path: Path, members: dict[str, bytes]) -> None:
    """An archive as Inspect writes it: zstd, method 93."""
    begin: list[tuple[str, int, bytes, bytes]] = []
    body = b""
    for name, content in members.items():
        packed = pa.compress(content, codec="zstd", asbytes=True)
        # Two frames in a row, as long members have.
        half = len(content) // 2
        if half:
            packed = b"".join(
                pa.compress(part, codec="zstd", asbytes=True)
                for part in (content[:half], content[half:])
            )
        begin.append((name, len(body), content, packed))
        body += b"PK\x03\x04" + struct.pack(
            "<5H3L2H",
            *(20, 0, 93, 0, 0, zlib.crc32(content), len(packed), len(content)),
            *(len(name), 0),
        )
        body += name.encode() + packed
    directory = b""
    for name, offset, content, packed in begin:
        directory += b"PK\x01\x02" + struct.pack(
            "<6H3L5H2L",
            *(20, 20, 0, 93, 0, 0, zlib.crc32(content), len(packed), len(content)),
            *(len(name), 0, 0, 0, 0, 0, offset),
        )
        directory += name.encode()
    end = struct.pack(
        "<4HLLH", 0, 0, len(begin), len(begin), len(directory), len(body), 0
    )
    path.write_bytes(body + directory + b"PK\x05\x06" + end)


def content_of(path: Path, name: str = "a") -> bytes:
    with opened_archive(path, lambda _: True) as archive:
        return b"".join(archive.chunks(name))


TEXT = json.dumps([{"id": number, "text": "word " * 9} for number in range(9_000)])


@pytest.mark.parametrize("method", ["stored", "deflated", "zstd"])
def test_a_member_is_what_was_packed(method: str, tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    if method == "zstd":
        zstd(path, {"a": TEXT.encode(), "empty": b""})
    else:
        kind = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[method]
        with zipfile.ZipFile(path, "w", kind) as made:
            made.writestr("a", "older")
            with pytest.warns(UserWarning, match="Duplicate name"):
                made.writestr("a", TEXT)
            made.writestr("empty", b"")
    assert content_of(path) == TEXT.encode()
    assert content_of(path, "empty") == b""


def test_sizes_of_64_bits_and_bytes_in_front_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as made, made.open("a", "w", force_zip64=True) as a:
        a.write(b"content")
    path.write_bytes(b"in front" + path.read_bytes())
    assert content_of(path) == b"content"


@pytest.mark.parametrize("method", ["deflated", "zstd"])
def test_every_cut_is_refused(method: str, tmp_path: Path) -> None:
    path, cut = tmp_path / "a.eval", tmp_path / "cut.eval"
    if method == "zstd":
        zstd(path, {"a": TEXT.encode()})
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("a", TEXT)
    whole = path.read_bytes()
    for size in {0, 1, 3, 30, len(whole) // 2, *range(len(whole) - 60, len(whole))}:
        cut.write_bytes(whole[:size])
        with pytest.raises(InvalidData, match=r"cut\.eval (is|has)"):
            content_of(cut)


@pytest.mark.parametrize("method", ["stored", "deflated", "zstd"])
def test_every_changed_byte_of_a_member_is_refused(method: str, tmp_path: Path) -> None:
    path, bad = tmp_path / "a.eval", tmp_path / "bad.eval"
    content = TEXT.encode()[:3_000]
    if method == "zstd":
        zstd(path, {"a": content})
    else:
        kind = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[method]
        with zipfile.ZipFile(path, "w", kind) as made:
            made.writestr("a", content)
    whole = path.read_bytes()
    first, last = 31, whole.rfind(b"PK\x01\x02")
    refused = 0
    for place in range(first, last, 7):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        bad.write_bytes(changed)
        # A bit that packs nothing may be changed: then the content is what it was.
        with suppress(InvalidData):
            assert content_of(bad) == content
            continue
        refused += 1
        with pytest.raises(InvalidData, match=r"bad\.eval, member a"):
            content_of(bad)
    assert refused > 0.9 * len(range(first, last, 7))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", b"[" + b" " * (100 << 20))
    with pytest.raises(InvalidData, match=r"member a unpacks from .* zip bomb"):
        content_of(path)


def test_a_member_larger_than_its_directory_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", b"x" * 100_000)
    whole = bytearray(path.read_bytes())
    at = whole.rfind(b"PK\x01\x02")
    whole[at + 24 : at + 28] = struct.pack("<L", 1_000)
    path.write_bytes(whole)
    with pytest.raises(InvalidData, match=r"more than the 1,000 bytes that the dir"):
        content_of(path)


@pytest.mark.parametrize("name", ["../a", "b/../../a", "/a", "..\\a", "\\a"])
def test_a_name_that_points_out_of_the_archive_is_refused(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(name, "{}")
    with pytest.raises(InvalidData, match="points out of the archive"):
        content_of(path)


def test_dots_in_a_name_are_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("samples/wait..._epoch_1.json", "{}")
    assert content_of(path, "samples/wait..._epoch_1.json") == b"{}"


def test_other_packings_and_encryption_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as made:
        made.writestr("a", "{}")
    with pytest.raises(InvalidData, match=r"compressed with method 14, .* zstd \(93\)"):
        content_of(path)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a", "{}")
    whole = bytearray(path.read_bytes())
    whole[whole.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(InvalidData, match="is encrypted"):
        content_of(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    path.write_text("{}")
    with pytest.raises(InvalidData, match=r"is not a zip archive.*end in \.json"):
        content_of(path)
    with pytest.raises(InvalidData, match="cannot read"):
        content_of(tmp_path / "missing.eval")


class Codec:
    """A PyArrow that was built without zstd."""

    @staticmethod
    def is_available(name: str) -> bool:
        return name != "zstd"


def test_without_zstd_in_pyarrow_another_reader_serves_or_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.eval"
    zstd(path, {"a": TEXT.encode()})
    monkeypatch.setattr(pa, "Codec", Codec)
    assert content_of(path) == TEXT.encode()
    imported = zip_stream.import_module

    def without(name: str) -> Any:
        if name == "zstandard":
            raise ImportError(name)
        return imported(name)

    monkeypatch.setattr(zip_stream, "import_module", without)
    with pytest.raises(InvalidData, match=r"pip install 'bayes-rare\[inspect\]'"):
        content_of(path)


def test_a_long_directory_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as made:
        for number in range(20_000):
            made.writestr(f"samples/q{number}_epoch_1.json", "")
        made.writestr("a", "[]")
    tracemalloc.start()
    with opened_archive(path, lambda name: name == "a") as archive:
        assert archive.count == 20_001
        assert list(archive.members) == ["a"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
