/* fuzz_truth.c -- mutated tables of true boxes of a data set. */
#include "fuzz/fuzz.h"

#include "io/truth.h"

static const char *source; /* of the data set */

static int dcv_fuzz_one(const char *file)
{
    char *line[] = {"zero", "one, uno", "two"};
    const dcv_labels labels = {3, line};
    dcv_dataset *set;
    dcv_truth *t = NULL;
    if (dcv_dataset_open_plain(source, "none", NULL, NULL, &set) != DCV_OK)
        abort();
    const int good = dcv_truth_read(file, "boxes.csv", set, &labels, 3, &t) == DCV_OK;
    dcv_truth_free(t);
    dcv_dataset_free(set);
    return good;
}

/* fuzz_truth COUNT SEED DATASET FILE... */
int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    source = argv[3];
    argv[3] = argv[2];
    argv[2] = argv[1];
    return fuzz_main(argc - 1, argv + 1);
}
