/* store_version.c -- which HDF5 is in use. */
#include <hdf5.h>
#include <stdio.h>
#include "deconvoy/store.h"

const char *dcv_hdf5_version(void)
{
    static char text[64];
    unsigned major = 0, minor = 0, release = 0;
    (void)H5get_libversion(&major, &minor, &release);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    return text;
}
