# Tests of io/. A test program is one line: IO_TESTS += tests/io/NAME_test (from tests/io/NAME_test.c).
# the output side
IO_TESTS += tests/io/shard_copy_test
IO_TESTS += tests/io/checkpoint_hdf5_test tests/io/checkpoint_test tests/io/manifest_test
IO_TESTS += tests/io/safetensors_test tests/io/jsonl_test tests/io/progress_test
IO_TESTS += tests/io/checkpoint_places_test tests/io/damage_test
IO_TESTS += tests/io/fuzz_checkpoint_test
tests_io_fuzz_checkpoint_test_SOURCES = tests/io/fuzz_checkpoint_test.c tests/fuzz_checkpoint.c
TESTS_TSAN += tests/io/shard_copy_test tests/io/checkpoint_places_test tests/io/checkpoint_test tests/io/progress_test
fakes_SOURCES += tests/fakes/fake_state.c tests/fakes/fake_state.h
# the input side
IO_TESTS += tests/io/augment_test
IO_TESTS += tests/io/demo_test
IO_TESTS += tests/io/folder_test
IO_TESTS += tests/io/fuzz_jpeg_test
tests_io_fuzz_jpeg_test_SOURCES = tests/io/fuzz_jpeg_test.c tests/fuzz_jpeg.c
IO_TESTS += tests/io/jpeg_test
IO_TESTS += tests/io/loader_test
TESTS_TSAN += tests/io/loader_test
IO_TESTS += tests/io/resize_test
IO_TESTS += tests/io/sampler_test
IO_TESTS += tests/io/synthetic_test
fakes_SOURCES += tests/io/jpeg_kit.c tests/io/jpeg_kit.h
PROGRAM_TESTS += tests/io/pil_test.sh
TEST_HELPERS += tests/io/sample_dump
EXTRA_DIST += tests/io/pil_compare.py
