"""TFRecord files and examples, against hand-encoded bytes, the published vectors and foreign readers."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.formats.crc32c import crc32c
from visus.data.formats.example import Example, decode_varints, encode_example, encode_varints
from visus.data.formats.tfrecord import RecordFile, masked_crc32c, read_tfrecords, write_tfrecords
from visus.errors import InputError


def slow_crc32c(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ 0x82F63B78 if state & 1 else state >> 1
    return state ^ 0xFFFFFFFF


def slow_varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, payload: bytes) -> bytes:
    return slow_varint(number << 3 | 2) + slow_varint(len(payload)) + payload


def slow_entry(name: str, kind: int, values: bytes) -> bytes:
    return field(1, field(1, name.encode()) + field(2, field(kind, values)))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksum_has_the_published_values(data, value):
    assert crc32c(data) == value


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1000, 4095, 4096, 4097, 20_001])
def test_fast_checksum_equals_the_slow_one(size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    assert crc32c(data) == slow_crc32c(data)
    assert crc32c(memoryview(data)) == crc32c(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_varints_round_trip_and_equal_the_slow_ones(values):
    array = np.array(values, dtype=np.int64)
    encoded = encode_varints(array)
    assert encoded == b"".join(slow_varint(value) for value in values)
    assert decode_varints(encoded).tolist() == values


@pytest.mark.parametrize("data", [b"\x80", b"\x01\x80", b"\x80" * 10 + b"\x01"])
def test_varints_that_do_not_end_are_refused(data):
    with pytest.raises(ValueError, match="a number"):
        decode_varints(data)


def test_example_reads_hand_encoded_bytes_packed_and_unpacked():
    packed = b"".join(slow_varint(value) for value in (1, 300, -2))
    unpacked = b"".join(slow_varint(1 << 3) + slow_varint(value) for value in (7, -1))
    floats = struct.pack("<2f", 1.5, -2.0)
    single = slow_varint(1 << 3 | 5) + struct.pack("<f", 4.0)
    unknown = slow_varint(9 << 3) + slow_varint(5) + slow_varint(8 << 3 | 1) + bytes(8)
    message = field(
        1,
        slow_entry("n", 3, field(1, packed) + unpacked + field(1, slow_varint(5)))
        + slow_entry("x", 2, field(1, floats) + single)
        + slow_entry("b", 1, field(1, b"one") + field(1, b""))
        + slow_entry("none", 3, b"")
        + slow_entry("twice", 3, field(1, slow_varint(1)))
        + field(1, field(1, b"last") + field(2, field(2, field(1, floats)) + field(3, field(1, packed))))
        + unknown,
    )
    message += field(1, slow_entry("twice", 3, field(1, slow_varint(2)))) + unknown
    example = Example(message)
    assert example["n"].tolist() == [1, 300, -2, 7, -1, 5]
    assert example["x"].tolist() == [1.5, -2.0, 4.0]
    assert example["b"] == [b"one", b""]
    assert example["none"].dtype == np.int64
    assert len(example["none"]) == 0
    assert example["twice"].tolist() == [2]
    assert example["last"].tolist() == [1, 300, -2]  # of two kinds the last one counts
    assert set(example) == {"n", "x", "b", "none", "twice", "last"}
    assert "absent" not in example


def test_encoder_writes_what_the_wire_format_says():
    features = {"x": np.array([[0.5, 2.0]], dtype=np.float64), "a": np.array([True, False]), "b": [b"hi"]}
    expected = field(
        1,
        slow_entry("a", 3, field(1, slow_varint(1) + slow_varint(0)))
        + slow_entry("b", 1, field(1, b"hi"))
        + slow_entry("x", 2, field(1, struct.pack("<2f", 0.5, 2.0))),
    )
    assert encode_example(features) == expected
    with pytest.raises(TypeError, match="complex"):
        encode_example({"z": np.zeros(1, dtype=np.complex64)})


names = st.text(min_size=1, max_size=6)
values = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6).map(lambda v: np.array(v, dtype=np.int64)),
    st.lists(st.floats(width=32, allow_nan=False), max_size=6).map(lambda v: np.array(v, dtype=np.float32)),
    st.lists(st.binary(max_size=6), min_size=1, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, values, max_size=5))
def test_examples_round_trip(features):
    again = Example(encode_example(features))
    assert set(again) == set(features)
    for name, value in features.items():
        if isinstance(value, list):
            assert again[name] == value
        else:
            assert again[name].dtype == value.dtype
            assert again[name].tolist() == value.tolist()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_a_value_error(data):
    try:
        example = Example(data)
        for name in example:
            example[name]
    except ValueError:
        pass


def oracle_example():
    """Classes for the messages, built from their definition by the reference implementation."""
    pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    pool = pytest.importorskip("google.protobuf.descriptor_pool").DescriptorPool()
    factory = pytest.importorskip("google.protobuf.message_factory")
    file = pb2.FileDescriptorProto(name="e.proto", package="e", syntax="proto3")
    kinds = (("BytesList", 12), ("FloatList", 2), ("Int64List", 3))
    for name, kind in kinds:
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=3)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, _) in enumerate(kinds, 1):
        feature.field.add(
            name=name.lower(), number=number, type=11, label=1, type_name=f".e.{name}", oneof_index=0
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=11, label=1, type_name=".e.Feature")
    features.field.add(name="feature", number=1, type=11, label=3, type_name=".e.Features.FeatureEntry")
    top = file.message_type.add(name="Example")
    top.field.add(name="features", number=1, type=11, label=1, type_name=".e.Features")
    pool.Add(file)
    return factory.GetMessageClass(pool.FindMessageTypeByName("e.Example"))


def test_protobuf_reads_our_examples_and_we_read_its():
    Message = oracle_example()
    theirs = Message()
    theirs.features.feature["n"].int64list.value.extend([1, -5, 2**40])
    theirs.features.feature["x"].floatlist.value.extend([0.25, 3e5])
    theirs.features.feature["b"].byteslist.value.extend([b"", b"\0\xff" * 300])
    ours = Example(theirs.SerializeToString())
    assert ours["n"].tolist() == [1, -5, 2**40]
    assert ours["x"].tolist() == [0.25, 3e5]
    assert ours["b"] == [b"", b"\0\xff" * 300]
    again = Message.FromString(
        encode_example({"n": ours["n"], "x": ours["x"], "b": ours["b"], "e": np.zeros(0, np.int64)})
    )
    assert list(again.features.feature["n"].int64list.value) == [1, -5, 2**40]
    assert list(again.features.feature["x"].floatlist.value) == [0.25, 3e5]
    assert list(again.features.feature["b"].byteslist.value) == [b"", b"\0\xff" * 300]
    assert again.features.feature["e"].WhichOneof("kind") == "int64list"


def test_tensorboard_reads_our_records_and_we_read_its(tmp_path):
    reader = pytest.importorskip("tensorboard.compat.tensorflow_stub.pywrap_tensorflow")
    writer = pytest.importorskip("tensorboard.summary.writer.record_writer")
    records = [b"", b"short", np.random.default_rng(0).bytes(5000)]
    write_tfrecords(tmp_path / "ours", records)
    theirs = reader.PyRecordReader_New(str(tmp_path / "ours"))
    for record in records:
        theirs.GetNext()
        assert theirs.record() == record
    with (tmp_path / "theirs").open("wb") as stream:
        made = writer.RecordWriter(stream)
        for record in records:
            made.write(record)
        made.flush()
        assert list(read_tfrecords(tmp_path / "theirs")) == records
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_records_are_framed_as_published(tmp_path):
    assert write_tfrecords(tmp_path / "x", [b"123456789"]) == 1
    content = (tmp_path / "x").read_bytes()
    head = struct.pack("<Q", 9)
    mask = lambda value: ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    checks = [struct.pack("<I", mask(slow_crc32c(part))) for part in (head, b"123456789")]
    assert content == head + checks[0] + b"123456789" + checks[1]
    assert masked_crc32c(head) == mask(slow_crc32c(head))


def damaged(path, records, *, at):
    write_tfrecords(path, records)
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(bytes(content))
    return path


def test_a_damaged_record_is_named_or_skipped(tmp_path):
    path = damaged(tmp_path / "x", [b"a" * 10, b"b" * 10, b"c" * 10], at=26 + 12 + 3)
    records = RecordFile(path)
    assert len(records) == 3
    assert records.read(0) == b"a" * 10
    assert records.read(2) == b"c" * 10
    with pytest.raises(InputError, match=r"x: record 1 at byte 26: is damaged.*corrupt=\"skip\""):
        records.read(1)
    skipping = RecordFile(path, corrupt="skip")
    assert [skipping.read(k) for k in range(len(skipping))] == [b"a" * 10, b"c" * 10]
    assert skipping.skipped == ["record 1 at byte 26: is damaged: its data do not match their checksum"]
    assert [span.number for span in skipping.spans] == [0, 2]


def test_a_damaged_length_ends_the_file(tmp_path):
    path = damaged(tmp_path / "x", [b"a" * 10, b"b" * 10, b"c" * 10], at=26)
    with pytest.raises(InputError, match="record 1 at byte 26: has a length that does not match"):
        RecordFile(path)
    skipping = RecordFile(path, corrupt="skip")
    assert len(skipping) == 1
    assert "no record after it" in skipping.skipped[0]


@pytest.mark.parametrize("kept", [1, 11, 12, 20, 25])
def test_a_truncated_file_is_named_or_its_last_record_skipped(tmp_path, kept):
    write_tfrecords(tmp_path / "x", [b"a" * 10, b"b" * 10])
    content = (tmp_path / "x").read_bytes()[: 26 + kept]
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match="record 1 at byte 26: is cut off"):
        RecordFile(tmp_path / "x")
    skipping = RecordFile(tmp_path / "x", corrupt="skip")
    assert len(skipping) == 1
    assert len(skipping.skipped) == 1


def test_files_without_records_are_refused(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        RecordFile(tmp_path / "empty")
    with pytest.raises(InputError, match="does not exist"):
        RecordFile(tmp_path / "none")
    (tmp_path / "text").write_bytes(b"hello, this is no record file")
    with pytest.raises(InputError, match="record 0 at byte 0"):
        RecordFile(tmp_path / "text")
    with pytest.raises(InputError, match="no whole record"):
        RecordFile(tmp_path / "text", corrupt="skip")
    with pytest.raises(InputError, match="refuse or skip"):
        RecordFile(tmp_path / "text", corrupt="maybe")  # pyright: ignore[reportArgumentType]


def test_nothing_half_written_is_left(tmp_path):
    write_tfrecords(tmp_path / "x", [b"old"])

    def failing():
        yield b"new"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_tfrecords(tmp_path / "x", failing())
    with pytest.raises(InputError, match="no records to write"):
        write_tfrecords(tmp_path / "y", [])
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert list(read_tfrecords(tmp_path / "x")) == [b"old"]
    with pytest.raises(InputError, match="is a folder"):
        write_tfrecords(tmp_path, [b"x"])
    with pytest.raises(InputError, match="below a file"):
        write_tfrecords(tmp_path / "x" / "y", [b"x"])
