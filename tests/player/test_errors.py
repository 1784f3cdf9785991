import struct

import numpy as np
import pytest
import zoo_player
from programs import file_of, small_file, with_checksum
from zoo_player.library import library
from zoo_player.program import Program

import zoo

TOO_SHORT, NOT_OURS, NEWER, CHECKSUM, LAYOUT, OPERATION, NOT_FINITE, TOO_LARGE, ARGUMENT, ALIGNMENT = range(1, 11)
# where the header's fields lie
VERSION, FILE_BYTES, SAMPLE_RATE, HOP, LATENCY, REGISTERS, OUTPUT, TENSORS_OFFSET = 8, 16, 32, 36, 40, 48, 52, 80
OPERATIONS_OFFSET = 88


def header_word(data, at):
    return struct.unpack_from("<I", data, at)[0]


def changed(data, at, value, form="<I"):
    data = bytearray(data)
    struct.pack_into(form, data, at, value)
    return with_checksum(data)


def code_of(data):
    with pytest.raises(zoo_player.PlayerError) as raised:
        zoo_player.Instrument(bytes(data))
    return raised.value.code


def operation_at(data, index):
    return header_word(data, OPERATIONS_OFFSET) + 64 * index


def test_file_that_is_cut_short_is_refused_at_any_length():
    data = small_file("gru")
    for size in [*range(0, 112, 7), len(data) // 2, len(data) - 16, len(data) - 1]:
        assert code_of(data[:size]) == TOO_SHORT, size


def test_file_that_is_longer_than_it_says_is_refused():
    assert code_of(small_file("gru") + bytes(16)) == LAYOUT


@pytest.mark.parametrize("data", [b"RIFF" + bytes(200), bytes(300), b"PK\3\4" * 100, b"zoo.insu" + bytes(200)])
def test_foreign_file_is_told_as_such(data):
    assert code_of(data) == NOT_OURS


def test_newer_format_is_told_as_such():
    assert code_of(changed(small_file("gru"), VERSION, 2)) == NEWER


def test_any_flipped_byte_is_noticed():
    data = small_file("gru")
    for at in range(24, len(data), 17):
        for bit in (0, 4, 7):
            broken = bytearray(data)
            broken[at] ^= 1 << bit
            assert code_of(broken) == CHECKSUM, (at, bit)


def test_signs_of_two_numbers_are_not_changed_unnoticed():
    data = bytearray(small_file("gru"))
    data[-1] ^= 0x80
    data[-9] ^= 0x80
    assert code_of(data) == CHECKSUM


@pytest.mark.parametrize(
    ("at", "value"),
    [
        *((VERSION, 0), (SAMPLE_RATE, 0), (HOP, 0), (HOP, 8193), (LATENCY, 1025), (REGISTERS, 7), (REGISTERS, 1 << 31)),
        *(
            (OUTPUT, 4),
            (OUTPUT, 1 << 30),
            (TENSORS_OFFSET, 8),
            (TENSORS_OFFSET, 1 << 30),
            (OPERATIONS_OFFSET, 0xFFFFFFF0),
        ),
    ],
)
def test_header_that_contradicts_itself_is_refused(at, value):
    assert code_of(changed(small_file("gru"), at, value)) == LAYOUT


def test_tensors_that_overlap_are_refused():
    data = bytearray(small_file("wavetable"))
    first = header_word(data, TENSORS_OFFSET)
    entries = [data[first + 32 * i : first + 32 * (i + 1)] for i in range(header_word(data, 56))]
    largest = max(entries, key=lambda entry: struct.unpack("<IIIIQQ", entry)[5])
    for i in range(len(entries)):
        data[first + 32 * i : first + 32 * (i + 1)] = largest
    assert code_of(with_checksum(data)) == LAYOUT


def test_operation_that_is_unknown_or_does_not_fit_is_refused():
    data = small_file("gru")
    assert code_of(changed(data, operation_at(data, 0), 0)) == OPERATION
    assert code_of(changed(data, operation_at(data, 0), 1000)) == OPERATION
    assert code_of(changed(data, operation_at(data, 0) + 4, 1 << 20)) == OPERATION  # a register that is not there
    assert code_of(changed(data, operation_at(data, 0) + 4, 0xFFFFFFF8)) == OPERATION


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(value):
    data = small_file("gru")
    offset = struct.unpack_from("<Q", data, header_word(data, TENSORS_OFFSET) + 16)[0]
    assert code_of(changed(data, offset, value, "<f")) == NOT_FINITE


def test_work_without_end_is_refused():
    p = Program(sample_rate=16000, hop=8192)
    x = p.input("f0_hz")
    big = p._register(65536)
    p.pitch(x, mute=False)
    audio = p.harmonics(big, x)
    assert code_of(p.to_bytes(audio, latency_frames=1, about={})) == TOO_LARGE


def test_more_voices_than_memory_are_refused():
    with pytest.raises(zoo_player.PlayerError, match="larger than this player is made for"):
        zoo_player.Instrument(file_of(zoo.create("gru-S", hidden_size=4, reverb_length=16000)), voices=65536)


def test_wrong_arguments_in_c_are_refused_not_crashed_on():
    native, data = library(), small_file("gru")
    room = np.zeros(len(data) + 128, np.uint8)
    begin = -room.ctypes.data % 64
    room[begin : begin + len(data)] = np.frombuffer(data, np.uint8)
    where = room.ctypes.data + begin
    assert native.zoo_check(None, 10, None) == ARGUMENT
    assert native.zoo_check(where + 4, len(data), None) == ALIGNMENT
    assert native.zoo_check(where, len(data), None) == 0
    assert native.zoo_player_bytes(where, len(data), 0) == 0
    assert native.zoo_player_bytes(None, 0, 1) == 0
    needed = native.zoo_player_bytes(where, len(data), 1)
    memory = np.zeros(needed + 128, np.uint8)
    aligned = memory.ctypes.data + -memory.ctypes.data % 64
    assert native.zoo_player_init(None, needed, where, len(data), 1, 0, None) is None
    assert native.zoo_player_init(aligned, needed - 1, where, len(data), 1, 0, None) is None
    assert native.zoo_player_init(aligned + 8, needed, where, len(data), 1, 0, None) is None
    player = native.zoo_player_init(aligned, needed, where, len(data), 1, 0, None)
    assert player
    assert native.zoo_player_voices(player) == 1
    assert native.zoo_player_process(None, None, None, 1, None) == ARGUMENT
    assert native.zoo_player_process(player, None, None, 1, None) == ARGUMENT
    assert native.zoo_player_process(player, None, None, 0, None) == 0
    native.zoo_player_reset(None)
    assert native.zoo_player_voices(None) == 0


def test_every_code_has_a_text_of_its_own():
    texts = [library().zoo_error_text(code) for code in range(-1, 12)]
    assert len(set(texts)) == 12  # -1 and 11 are unknown


@pytest.mark.parametrize("file", ["missing.zoo", ".", "nul\0.zoo"])
def test_file_that_cannot_be_read_is_named(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(zoo_player.PlayerError, match=r"cannot read"):
        zoo_player.Instrument(file)


def test_library_of_another_version_is_told_with_the_command_that_builds_it(compile_c):
    older = compile_c("older.so", flags=("-shared", "-fPIC", "-Dzoo_live_drive=zp_not_yet"))
    with pytest.raises(
        zoo_player.PlayerError, match=r"older\.so is older .* zoo_live_drive: python -m zoo_player\.build"
    ):
        library(older)
