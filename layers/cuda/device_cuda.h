/* device_cuda.h: core/device.h on the CUDA runtime: one NVIDIA GPU. Built WITH_CUDA only.
 *
 *   dt_status status = dt_device_cuda_create(comm->local_rank, comm->local_size, &device, err);
 *   if (status == DT_ERR_UNSUPPORTED) ...          no driver, no GPU, or no kernels for it in this build; the
 *                                                  message gives the reason
 *
 * The program links and starts without a driver: the CUDA runtime is linked statically and loads the driver
 * when it is first called.
 */
#ifndef DT_LAYERS_CUDA_DEVICE_CUDA_H
#define DT_LAYERS_CUDA_DEVICE_CUDA_H

#include "core/device.h"

/* Open a GPU for rank local_rank of the local_size ranks on this host: GPU number local_rank of those that
 * CUDA_VISIBLE_DEVICES shows, or the only visible one where a launcher shows each rank its own. Local.
 * DT_ERR_UNSUPPORTED: no driver, one too old, no GPU, or a GPU that the kernels were not compiled for;
 * DT_ERR_USAGE: more ranks than GPUs; DT_ERR_MEMORY; DT_ERR_DEVICE: the GPU reports an error. */
dt_status dt_device_cuda_create(int local_rank, int local_size, dt_device **device, dt_error *err);

/* Write the PCI address of the GPU that dt_device_cuda_create would open, "0000:10:1c.0", without opening it;
 * "" where that would fail, or CUDA does not say. */
void dt_device_cuda_address(int local_rank, int local_size, char *address, size_t address_bytes);

#endif
