/* failures.c -- see failures.h. */
#include <stdlib.h>
#include <string.h>

#include "runtime/failures.h"
#include "deconvoy/memory.h"

typedef struct entry {
    int64_t item;
    int phase;
    char message[FAILURE_TEXT];
} entry;

struct failures {
    int64_t n_items, rows, count;
    uint8_t *failed; /* bitmap */
    entry *at;
    int64_t n, cap;
};

dcv_status failures_new(int64_t n_items, int64_t rows, failures **out)
{
    *out = NULL;
    failures *f = dcv_alloc(1, sizeof *f);
    if (!f)
        return DCV_ENOMEM;
    f->n_items = n_items;
    f->rows = rows;
    f->failed = dcv_alloc((size_t)n_items / 8 + 1, 1);
    if (!f->failed) {
        dcv_free(f);
        return DCV_ENOMEM;
    }
    *out = f;
    return DCV_OK;
}

void failures_free(failures *f)
{
    if (!f)
        return;
    dcv_free(f->failed);
    dcv_free(f->at);
    dcv_free(f);
}

static int order(const void *pa, const void *pb)
{
    const entry *a = pa, *b = pb;
    if (a->item != b->item)
        return a->item < b->item ? -1 : 1;
    return a->phase != b->phase ? a->phase - b->phase : strcmp(a->message, b->message);
}

/* Sort, keep the best entry of each item, and no more than there are rows. */
static void tidy(failures *f)
{
    if (f->n)
        qsort(f->at, (size_t)f->n, sizeof *f->at, order);
    int64_t kept = 0;
    for (int64_t i = 0; i < f->n && kept < f->rows; i++)
        if (!kept || f->at[i].item != f->at[kept - 1].item)
            f->at[kept++] = f->at[i];
    f->n = kept;
}

dcv_status failures_add(failures *f, int phase, const failure *one)
{
    if (one->item < 0 || one->item >= f->n_items)
        return dcv_fail(DCV_EINTERNAL, "there is no item %lld", (long long)one->item);
    const uint8_t bit = (uint8_t)(1 << (one->item & 7));
    f->count += !(f->failed[one->item >> 3] & bit);
    f->failed[one->item >> 3] |= bit;
    if (f->n == f->cap && f->cap > 2 * f->rows)
        tidy(f);
    if (f->n == f->cap) {
        const int64_t cap = f->cap ? 2 * f->cap : 64;
        entry *grown = dcv_realloc(f->at, (size_t)f->cap, (size_t)cap, sizeof *grown);
        if (!grown)
            return DCV_ENOMEM;
        f->at = grown;
        f->cap = cap;
    }
    entry *e = &f->at[f->n++];
    e->item = one->item;
    e->phase = phase;
    memcpy(e->message, one->message, FAILURE_TEXT);
    e->message[FAILURE_TEXT - 1] = 0;
    return DCV_OK;
}

int64_t failures_count(const failures *f)
{
    return f ? f->count : 0;
}

dcv_status failures_put(failures *f, dcv_result *r)
{
    const dcv_output *o = r->out;
    tidy(f);
    int64_t *item = dcv_alloc((size_t)f->rows, sizeof *item);
    char *text = dcv_alloc((size_t)f->rows, FAILURE_TEXT);
    dcv_status st = item && text ? DCV_OK : DCV_ENOMEM;
    for (int64_t i = 0; st == DCV_OK && i < f->rows; i++) {
        item[i] = i < f->n ? f->at[i].item : -1;
        if (i < f->n)
            memcpy(text + i * FAILURE_TEXT, f->at[i].message, FAILURE_TEXT);
    }
    if (st == DCV_OK)
        st = dcv_result_put(r, o->count_id, 0, 1, &f->count);
    if (st == DCV_OK)
        st = dcv_result_put(r, o->item_id, 0, f->rows, item);
    if (st == DCV_OK)
        st = dcv_result_put(r, o->message_id, 0, f->rows, text);
    dcv_free(item);
    dcv_free(text);
    return st;
}

const char *failures_first(const failures *f)
{
    return f->n ? f->at[0].message : "";
}

static const char *reason_of(const char *message)
{
    const char *at = strstr(message, ": ");
    return at ? at + 2 : message;
}

static int by_reason(const void *pa, const void *pb)
{
    const entry *a = *(const entry *const *)pa, *b = *(const entry *const *)pb;
    const int c = strcmp(reason_of(a->message), reason_of(b->message));
    return c ? c : (a->item > b->item) - (a->item < b->item);
}

char *failures_commonest(const failures *f, int64_t *count)
{
    const entry *best = NULL, **sorted = dcv_alloc((size_t)f->n + 1, sizeof *sorted);
    *count = 0;
    for (int64_t i = 0; sorted && i < f->n; i++)
        sorted[i] = &f->at[i];
    if (sorted && f->n)
        qsort(sorted, (size_t)f->n, sizeof *sorted, by_reason);
    for (int64_t i = 0, start = 0; sorted && i < f->n; i++) {
        if (strcmp(reason_of(sorted[i]->message), reason_of(sorted[start]->message)))
            start = i;
        const int64_t n = i + 1 - start;
        if (n > *count || (n == *count && sorted[start]->item < best->item)) {
            *count = n;
            best = sorted[start];
        }
    }
    char *text = best ? dcv_strdup(reason_of(best->message)) : NULL;
    dcv_free(sorted);
    return text;
}
