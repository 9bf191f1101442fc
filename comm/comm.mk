# comm/: communication between ranks (self, mpi, nccl).
noinst_LIBRARIES += libcomm.a
COMM_LIBS = $(MPI_LIBS) $(CUDA_LIBS)
libcomm_a_CPPFLAGS = $(DT_CPPFLAGS) $(MPI_CFLAGS) $(CUDA_CFLAGS) $(NCCL_CFLAGS)
libcomm_a_SOURCES = $(comm_SOURCES)

comm_SOURCES =
comm_SOURCES += comm/deadline.c
comm_SOURCES += comm/deadline.h
comm_SOURCES += comm/efa.c
comm_SOURCES += comm/efa.h
comm_SOURCES += comm/mpi.c
comm_SOURCES += comm/mpi.h
comm_SOURCES += comm/mpi_error.c
comm_SOURCES += comm/mpi_internal.h
comm_SOURCES += comm/mpi_notices.c
comm_SOURCES += comm/mpi_sum.c
comm_SOURCES += comm/nccl/abort.c
comm_SOURCES += comm/nccl/api.h
comm_SOURCES += comm/nccl/buckets.c
comm_SOURCES += comm/nccl/call.c
comm_SOURCES += comm/nccl/environment.c
comm_SOURCES += comm/nccl/environment.h
comm_SOURCES += comm/nccl/internal.h
comm_SOURCES += comm/nccl/library.c
comm_SOURCES += comm/nccl/log.c
comm_SOURCES += comm/nccl/log.h
comm_SOURCES += comm/nccl/marks.c
comm_SOURCES += comm/nccl/nccl.c
comm_SOURCES += comm/nccl/nccl.h
comm_SOURCES += comm/nccl/network.c
comm_SOURCES += comm/nccl/network.h
comm_SOURCES += comm/nccl/wait.c
comm_SOURCES += comm/nccl/watchdog.c
comm_SOURCES += comm/nccl/wire.h
comm_SOURCES += comm/self.c
comm_SOURCES += comm/self.h
if WITH_NCCL
comm_SOURCES += comm/nccl/wire.cu
else
EXTRA_DIST += comm/nccl/wire.cu
endif
EXTRA_DIST += comm/README.md
