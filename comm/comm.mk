# comm/: communication between ranks (self, mpi).
noinst_LIBRARIES += libcomm.a
COMM_LIBS = $(MPI_LIBS) $(NCCL_LIBS) $(CUDA_LIBS)
libcomm_a_CPPFLAGS = $(DT_CPPFLAGS) $(MPI_CFLAGS) $(CUDA_CFLAGS) $(NCCL_CFLAGS)
libcomm_a_SOURCES = $(comm_SOURCES)

comm_SOURCES =
comm_SOURCES += comm/deadline.c comm/deadline.h
comm_SOURCES += comm/mpi.c comm/mpi.h comm/mpi_internal.h comm/mpi_notices.c comm/mpi_sum.c
comm_SOURCES += comm/self.c comm/self.h
comm_SOURCES += comm/nccl/api.h comm/nccl/buckets.c comm/nccl/internal.h comm/nccl/library.c comm/nccl/nccl.c comm/nccl/nccl.h \
	comm/nccl/network.c comm/nccl/network.h comm/nccl/wait.c comm/nccl/watchdog.c comm/nccl/wire.h
if WITH_NCCL
comm_SOURCES += comm/nccl/wire.cu
else
EXTRA_DIST += comm/nccl/wire.cu
endif
EXTRA_DIST += comm/README.md
