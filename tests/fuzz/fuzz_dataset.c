/* fuzz_dataset.c -- mutated IDX files (plain and .gz), tar archives and lists. */
#include "fuzz/fuzz.h"

#include "deconvoy/dataset.h"

static int dcv_fuzz_one(const char *file)
{
    dcv_dataset *d;
    dcv_item it;
    if (dcv_dataset_open_plain(file, "auto", NULL, NULL, &d) != DCV_OK)
        return 0;
    for (int64_t i = 0; i < d->n && i < 100; i++)
        if (dcv_dataset_read(d, i, DCV_READ_INPUT | DCV_READ_PICTURE, &it) == DCV_OK)
            dcv_item_clear(&it);
    dcv_dataset_free(d);
    return 1;
}

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv);
}
