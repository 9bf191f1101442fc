# io/: samples in, checkpoints and metrics out.
noinst_LIBRARIES += libio.a
IO_LIBS = $(HDF5_LIBS) $(JPEG_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS)
libio_a_CPPFLAGS = $(DT_CPPFLAGS) $(HDF5_CFLAGS) $(JPEG_CFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS)
libio_a_SOURCES = $(io_SOURCES)

io_SOURCES =
