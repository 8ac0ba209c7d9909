/* infer.c -- what a classifier said, as text: summary.txt; outputs that are pictures, and class maps, as sheets. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include "deconvoy/log.h"
#include "deconvoy/memory.h"
#include "report/infer_pictures.h"

enum { BLOCK = 4096 }; /* items read at a time */

typedef struct answers {
    int64_t n, top, text_bytes;
    int64_t labelled, right, among; /* items with a label; whose best class is it; whose best few hold it */
    char *name;                     /* of a block, as what follows */
    int32_t *label, *class_;
    float *probability;
    uint8_t *status;
} answers;

static const char names[] = "/inputs/name", labels[] = "/inputs/label", statuses[] = "/inputs/status",
                  classes[] = "/infer/top_class", probabilities[] = "/infer/top_probability";

static dcv_status open_answers(const dcv_report_in *in, answers *a)
{
    dcv_dims class_, probability, one;
    dcv_h5_info name;
    DCV_TRY(dcv_report_shape(in, classes, 2, &class_));
    DCV_TRY(dcv_report_shape(in, probabilities, 2, &probability));
    DCV_TRY(dcv_h5_info_of(in->h5, names, &name));
    a->n = class_.d[0], a->top = class_.d[1], a->text_bytes = name.text_bytes;
    DCV_TRY(dcv_report_shape(in, labels, 1, &one));
    if (!dcv_dims_equal(&class_, &probability) || name.dims.n != 1 || name.dims.d[0] != a->n || one.d[0] != a->n ||
        a->text_bytes < 1 || a->top < 1 || a->top > 1 << 20)
        return dcv_fail(DCV_EDATA, "%s: shapes in /inputs and /infer do not fit each other", in->file);
    a->name = dcv_alloc(BLOCK, (size_t)a->text_bytes);
    a->label = dcv_alloc(BLOCK, sizeof *a->label);
    a->class_ = dcv_alloc(BLOCK * (size_t)a->top, sizeof *a->class_);
    a->probability = dcv_alloc(BLOCK * (size_t)a->top, sizeof *a->probability);
    a->status = dcv_alloc(BLOCK, 1);
    return a->name && a->label && a->class_ && a->probability && a->status ? DCV_OK : DCV_ENOMEM;
}

static void close_answers(answers *a)
{
    dcv_free(a->name);
    dcv_free(a->label);
    dcv_free(a->class_);
    dcv_free(a->probability);
    dcv_free(a->status);
}

static dcv_status read_block(const dcv_report_in *in, const answers *a, int64_t first, int64_t n)
{
    DCV_TRY(dcv_h5_read_text(in->h5, names, first, n, a->name, (size_t)a->text_bytes));
    DCV_TRY(dcv_h5_read(in->h5, labels, DCV_I32, first, n, a->label));
    DCV_TRY(dcv_h5_read(in->h5, statuses, DCV_U8, first, n, a->status));
    DCV_TRY(dcv_h5_read(in->h5, classes, DCV_I32, first, n, a->class_));
    return dcv_h5_read(in->h5, probabilities, DCV_F32, first, n, a->probability);
}

static void print_name(const answers *a, int64_t i, FILE *to)
{
    const char *name = a->name + i * a->text_bytes;
    for (int64_t k = 0; k < a->text_bytes && name[k]; k++)
        fputc(iscntrl((unsigned char)name[k]) ? '?' : name[k], to);
}

static void print_item(answers *a, int64_t i, FILE *to)
{
    const int32_t label = a->label[i], *class_ = a->class_ + i * a->top;
    print_name(a, i, to);
    if (label >= 0)
        fprintf(to, "\t%d", (int)label);
    else
        fprintf(to, "\t-");
    if (a->status[i] != 1) {
        fprintf(to, "\tfailed\n");
        return;
    }
    bool among = false;
    for (int64_t k = 0; k < a->top; k++) {
        fprintf(to, "\t%d (%.4f)", (int)class_[k], (double)a->probability[i * a->top + k]);
        among |= class_[k] == label;
    }
    fputc('\n', to);
    a->labelled += label >= 0;
    a->right += label >= 0 && class_[0] == label;
    a->among += label >= 0 && among;
}

static dcv_status print_answers(const dcv_report_in *in, answers *a, FILE *to)
{
    fprintf(to, "item\tlabel\tbest classes (probability)\n");
    for (int64_t first = 0; first < a->n; first += BLOCK) {
        const int64_t n = a->n - first < BLOCK ? a->n - first : BLOCK;
        DCV_TRY(read_block(in, a, first, n));
        for (int64_t i = 0; i < n; i++)
            print_item(a, i, to);
    }
    if (a->labelled)
        fprintf(to,
                "\n%lld items have a label: it is the best class of %lld (%.2f %%), among the best %lld of %lld (%.2f "
                "%%)\n",
                (long long)a->labelled, (long long)a->right, 100.0 * (double)a->right / (double)a->labelled,
                (long long)a->top, (long long)a->among, 100.0 * (double)a->among / (double)a->labelled);
    return DCV_OK;
}

static dcv_status write_summary(const dcv_report_in *in, answers *a, const char *path)
{
    FILE *to = fopen(path, "w");
    if (!to)
        return dcv_fail(DCV_EIO, "%s: %s", path, strerror(errno));
    dcv_status st = print_answers(in, a, to);
    const bool wrote = !ferror(to);
    if ((fclose(to) != 0 || !wrote) && st == DCV_OK)
        st = dcv_fail(DCV_EIO, "%s: %s", path, strerror(errno));
    if (st == DCV_OK)
        st = dcv_report_wrote(in, path);
    return st;
}

static dcv_status run(const dcv_report_in *in)
{
    int drawn;
    DCV_TRY(infer_pictures_draw(in, &drawn));
    if (!dcv_h5_has(in->h5, classes)) {
        if (!drawn)
            dcv_log_info("%s: no classes, no pictures of 1 or 3 channels, no class map: nothing to draw", in->file);
        return DCV_OK;
    }
    answers a = {.n = 0};
    dcv_status st = open_answers(in, &a);
    char *path = st == DCV_OK ? dcv_report_path(in, "summary", ".txt") : NULL;
    if (st == DCV_OK)
        st = path ? write_summary(in, &a, path) : DCV_ENOMEM;
    dcv_free(path);
    close_answers(&a);
    return st;
}

const dcv_reporter dcv_reporter_infer = {"infer", run};
