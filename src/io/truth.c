/* truth.c -- rows of true boxes brought together with the pictures of a data set. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "deconvoy/log.h"
#include "io/source.h"
#include "io/truth.h"

/* --- Names ---------------------------------------------------------------------------- */

typedef struct name {
    const char *text;
    int64_t item;
} name;

/* All names of a data set in order, and their last parts in order. */
typedef struct names {
    int64_t n;
    name *whole, *last;
    char *text;
} names;

static int by_text(const void *a, const void *b)
{
    const name *p = a, *q = b;
    const int order = strcmp(p->text, q->text);
    return order ? order : (p->item > q->item) - (p->item < q->item);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void names_clear(names *x)
{
    dcv_free(x->whole);
    dcv_free(x->last);
    dcv_free(x->text);
}

static dcv_status names_make(const dcv_dataset *d, names *x)
{
    size_t bytes = 0;
    for (int64_t i = 0; i < d->n; i++)
        bytes += strlen(d->entry[i].name) + 1;
    *x = (names){.n = d->n};
    x->whole = dcv_alloc((size_t)d->n, sizeof *x->whole);
    x->last = dcv_alloc((size_t)d->n, sizeof *x->last);
    char *to = x->text = dcv_alloc(bytes, 1);
    if (!x->whole || !x->last || !x->text)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < d->n; i++) {
        const size_t n = strlen(d->entry[i].name) + 1;
        memcpy(to, d->entry[i].name, n);
        dcv_truth_clean(to); /* as in /inputs/name */
        x->whole[i] = (name){to, i};
        x->last[i] = (name){last_part(to), i};
        to += n;
    }
    qsort(x->whole, (size_t)x->n, sizeof *x->whole, by_text);
    qsort(x->last, (size_t)x->n, sizeof *x->last, by_text);
    return DCV_OK;
}

/* The first of sorted names that is text, in [*first, *first + count). */
static int64_t find(const name *list, int64_t n, const char *text, int64_t *first)
{
    int64_t lo = 0, count = 0;
    for (int64_t hi = n; lo < hi;) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (strcmp(list[mid].text, text) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *first = lo;
    while (lo + count < n && !strcmp(list[lo + count].text, text))
        count++;
    return count;
}

/* Items that a row is of; *list[0 .. *count-1].  A last part must lead to one name. */
static dcv_status items_of(const dcv_dataset *d, const names *x, const dcv_truth_row *r, const char *shown,
                           const name **list, int64_t *count)
{
    int64_t first;
    *count = find(x->whole, x->n, r->image, &first);
    *list = x->whole + first;
    if (*count)
        return DCV_OK;
    *count = find(x->last, x->n, r->image, &first);
    *list = x->last + first;
    for (int64_t i = 1; i < *count; i++) {
        const char *one = d->entry[(*list)[0].item].name, *other = d->entry[(*list)[i].item].name;
        if (strcmp(one, other) != 0)
            return dcv_fail(DCV_EDATA, "%s:%lld: \"%s\" may be %s or %s; write the whole name", shown,
                            (long long)r->line, r->image, one, other);
    }
    return DCV_OK;
}

/* --- Classes -------------------------------------------------------------------------- */

static int named_in_set(const dcv_dataset *d, const char *text)
{
    for (int32_t i = 0; d->label_name && i < d->classes; i++)
        if (d->label_name[i] && !strcasecmp(d->label_name[i], text))
            return i;
    return -1;
}

static const char *nearest(const dcv_dataset *d, const dcv_labels *labels, const char *text)
{
    if (labels)
        return dcv_nearest(text, (const char *const *)labels->line, (size_t)labels->n);
    const char **list = dcv_alloc((size_t)d->classes + 1, sizeof *list), *near = NULL;
    size_t n = 0;
    for (int32_t i = 0; list && d->label_name && i < d->classes; i++)
        if (d->label_name[i])
            list[n++] = d->label_name[i];
    if (list)
        near = dcv_nearest(text, list, n);
    dcv_free(list);
    return near;
}

static dcv_status class_of(const dcv_dataset *d, const dcv_labels *labels, int64_t classes, const dcv_truth_row *r,
                           const char *shown, int32_t *out)
{
    char *end;
    const char *text = r->class_name;
    const long long v = strtoll(text, &end, 10);
    const bool number = !*end && end != text;
    if (number && v >= 0 && v <= INT32_MAX && (classes <= 0 || v < classes)) {
        *out = (int32_t)v;
        return DCV_OK;
    }
    const int named = labels ? dcv_labels_find(labels, text) : -1;
    *out = named >= 0 ? named : named_in_set(d, text);
    if (*out >= 0)
        return DCV_OK;
    if (number)
        return dcv_fail(DCV_EDATA, "%s:%lld: class %.20s; the network has 0 to %lld", shown, (long long)r->line, text,
                        (long long)(classes > 0 ? classes : INT32_MAX) - 1);
    const char *near = nearest(d, labels, text);
    return dcv_fail(DCV_EDATA, "%s:%lld: no class \"%.80s\"; expected a number or a name of model.labels%s%s", shown,
                    (long long)r->line, text, near ? "; nearest: " : "", near ? near : "");
}

/* --- Places --------------------------------------------------------------------------- */

/* Where resize, from extent was to extent is, and crop take a coordinate. */
static double clipped(double at, int64_t was, int64_t is, int64_t shift, int64_t extent)
{
    const double x = at * (double)is / (double)was - (double)shift;
    return x < 0 ? 0 : x > (double)extent ? (double)extent : x;
}

/* A picture, as its header and resize and crop have it. */
typedef struct place {
    int64_t item; /* that this is of; -1: none */
    bool known;
    int64_t h, w;
    dcv_framing framing;
} place;

static void look_up(const dcv_dataset *d, int64_t item, place *p)
{
    if (p->item == item)
        return;
    p->item = item;
    p->known = dcv_dataset_framing(d, item, &p->h, &p->w, &p->framing) == DCV_OK;
}

/* Put row r's box at where resize and crop take it.  *some: a part of it is left. */
static dcv_status carry(const dcv_dataset *d, const dcv_truth_row *r, const place *p, const char *shown,
                        dcv_truth_box *b, bool *some)
{
    *some = false;
    if (!p->known)
        return DCV_OK;
    if (r->y0 < 0 || r->x0 < 0 || r->y1 > (double)p->h || r->x1 > (double)p->w)
        return dcv_fail(DCV_EDATA,
                        "%s:%lld: rows %g to %g, columns %g to %g are not inside the picture: %s has %lld rows and "
                        "%lld columns",
                        shown, (long long)r->line, r->y0, r->y1, r->x0, r->x1, dcv_dataset_item_name(d, p->item),
                        (long long)p->h, (long long)p->w);
    const dcv_framing *f = &p->framing;
    b->y0 = clipped(r->y0, p->h, f->resized_h, f->y, f->h);
    b->y1 = clipped(r->y1, p->h, f->resized_h, f->y, f->h);
    b->x0 = clipped(r->x0, p->w, f->resized_w, f->x, f->w);
    b->x1 = clipped(r->x1, p->w, f->resized_w, f->x, f->w);
    *some = b->y0 < b->y1 && b->x0 < b->x1;
    return DCV_OK;
}

/* --- All rows ------------------------------------------------------------------------- */

typedef struct matching {
    const dcv_dataset *d;
    const dcv_labels *labels;
    int64_t classes;
    const char *shown;
    names names;
    place place;
    int64_t room; /* of out->box */
    dcv_truth *out;
} matching;

static dcv_status add(matching *m, const dcv_truth_box *b)
{
    dcv_truth *t = m->out;
    if (t->n == m->room) {
        const int64_t more = m->room ? 2 * m->room : 64;
        dcv_truth_box *box = dcv_realloc(t->box, (size_t)m->room, (size_t)more, sizeof *box);
        if (!box)
            return DCV_ENOMEM;
        t->box = box;
        m->room = more;
    }
    t->box[t->n++] = *b;
    return DCV_OK;
}

static dcv_status match_row(matching *m, const dcv_truth_row *r)
{
    const name *list;
    int64_t count;
    dcv_truth_box b = {.line = r->line};
    DCV_TRY(items_of(m->d, &m->names, r, m->shown, &list, &count));
    m->out->ignored += !count;
    if (count)
        DCV_TRY(class_of(m->d, m->labels, m->classes, r, m->shown, &b.class_number));
    for (int64_t i = 0; i < count; i++) {
        bool some;
        b.item = list[i].item;
        look_up(m->d, b.item, &m->place);
        DCV_TRY(carry(m->d, r, &m->place, m->shown, &b, &some));
        m->out->outside += m->place.known && !some;
        if (some)
            DCV_TRY(add(m, &b));
    }
    return DCV_OK;
}

static int by_item(const void *a, const void *b)
{
    const dcv_truth_box *p = a, *q = b;
    return p->item != q->item ? (p->item < q->item ? -1 : 1) : (p->line > q->line) - (p->line < q->line);
}

static dcv_status sort_boxes(matching *m)
{
    dcv_truth *t = m->out;
    t->first = dcv_alloc((size_t)m->d->n + 1, sizeof *t->first);
    if (!t->first)
        return DCV_ENOMEM;
    if (t->n)
        qsort(t->box, (size_t)t->n, sizeof *t->box, by_item);
    for (int64_t i = 0, k = 0; i < m->d->n; i++) {
        t->first[i] = k;
        while (k < t->n && t->box[k].item == i)
            k++;
        t->most = k - t->first[i] > t->most ? (int)(k - t->first[i]) : t->most;
    }
    t->first[m->d->n] = t->n;
    return DCV_OK;
}

static dcv_status match_all(matching *m, const dcv_truth_rows *rows)
{
    DCV_TRY(names_make(m->d, &m->names));
    m->out->rows = rows->n;
    for (int64_t i = 0; i < rows->n; i++)
        DCV_TRY(match_row(m, &rows->row[i]));
    if (!rows->n)
        return dcv_fail(DCV_EDATA, "%s:1: a header and no boxes", m->shown);
    if (m->out->ignored == rows->n)
        return dcv_fail(
            DCV_EDATA,
            "%s:%lld: no row is of a picture of the data set; this one is of \"%s\", the first picture is %s", m->shown,
            (long long)rows->row[0].line, rows->row[0].image, dcv_dataset_item_name(m->d, 0));
    return sort_boxes(m);
}

static dcv_status read_text(const char *file, const char *shown, dcv_sha256 *hash, char **text, size_t *n)
{
    uint8_t *bytes;
    DCV_TRY(dcv_read_item_file(file, shown, -1, &bytes, n));
    *hash = dcv_sha256_of(bytes, *n);
    *text = dcv_realloc(bytes, *n, *n + 1, 1);
    if (!*text) {
        dcv_free(bytes);
        return DCV_ENOMEM;
    }
    return DCV_OK;
}

dcv_status dcv_truth_read(const char *file, const char *shown, const dcv_dataset *d, const dcv_labels *labels,
                          int64_t classes, dcv_truth **out)
{
    char *text;
    size_t n;
    dcv_truth_rows rows = {0};
    *out = NULL;
    matching m = {.d = d, .labels = labels, .classes = classes, .shown = shown, .place = {.item = -1}};
    m.out = dcv_alloc(1, sizeof *m.out);
    if (!m.out)
        return DCV_ENOMEM;
    dcv_status st = read_text(file, shown, &m.out->sha256, &text, &n);
    if (st == DCV_OK)
        st = dcv_truth_rows_read(text, n, shown, &rows);
    if (st == DCV_OK)
        st = match_all(&m, &rows);
    names_clear(&m.names);
    dcv_truth_rows_clear(&rows);
    if (st == DCV_OK)
        *out = m.out;
    else
        dcv_truth_free(m.out);
    return st;
}

void dcv_truth_free(dcv_truth *t)
{
    if (!t)
        return;
    dcv_free(t->box);
    dcv_free(t->first);
    dcv_free(t);
}
