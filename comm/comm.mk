# comm/: communication between ranks (self, mpi).
noinst_LIBRARIES += libcomm.a
COMM_LIBS = $(MPI_LIBS) $(NCCL_LIBS) $(CUDA_LIBS)
libcomm_a_CPPFLAGS = $(DT_CPPFLAGS) $(MPI_CFLAGS) $(CUDA_CFLAGS) $(NCCL_CFLAGS)
libcomm_a_SOURCES = $(comm_SOURCES)

comm_SOURCES =
comm_SOURCES += comm/deadline.c comm/deadline.h
comm_SOURCES += comm/mpi.c comm/mpi.h comm/mpi_internal.h comm/mpi_notices.c comm/mpi_sum.c
comm_SOURCES += comm/self.c comm/self.h
EXTRA_DIST += comm/README.md
