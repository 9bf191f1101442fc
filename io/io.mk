# io/: samples in, checkpoints and metrics out.
noinst_LIBRARIES += libio.a
IO_LIBS = $(HDF5_LIBS) $(JPEG_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS)
libio_a_CPPFLAGS = $(DT_CPPFLAGS) $(HDF5_CFLAGS) $(JPEG_CFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS)
libio_a_SOURCES = $(io_SOURCES)

io_SOURCES =
# the output side
io_SOURCES += io/checkpoint_hdf5.c io/checkpoint_hdf5.h io/generation.c io/generation.h io/shard_copy.c io/shard_copy.h io/manifest.c io/manifest.h
io_SOURCES += io/hdf5_driver.c io/hdf5_driver.h io/hdf5_shard.c io/hdf5_shard.h
io_SOURCES += io/durable.c io/durable.h
io_SOURCES += io/progress.c io/progress.h io/progress_text.c io/progress_text.h
io_SOURCES += io/safetensors_read.c io/safetensors_write.c io/safetensors.h io/jsonl.c io/jsonl.h
# Input: from a folder of JPEGs to batches.
io_SOURCES += io/augment.c io/augment.h
io_SOURCES += io/buffer.c io/buffer.h
io_SOURCES += io/demo.c io/demo.h io/demo_digits.inc
io_SOURCES += io/folder.c io/folder.h
io_SOURCES += io/image.h
io_SOURCES += io/jpeg.c io/jpeg.h io/jpeg_write.c io/jpeg_write.h
io_SOURCES += io/loader.c io/loader.h io/loader_ring.c io/loader_ring.h io/row.c io/row.h
io_SOURCES += io/resize.c io/resize.h
io_SOURCES += io/resize_kernels.c io/resize_kernels.h
io_SOURCES += io/sample.c io/sample.h
io_SOURCES += io/sampler.c io/sampler.h
io_SOURCES += io/synthetic.c io/synthetic.h
EXTRA_DIST += io/README.md
