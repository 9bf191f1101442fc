/*
 * For builds with AddressSanitizer only: libraries stay loaded. Open MPI unloads its plugins at MPI_Finalize;
 * what they leaked would then have no name, and no line of lsan.supp could distinguish it from a leak of
 * ours.
 */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
