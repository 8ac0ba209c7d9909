/* manifest.c -- names, sizes and labels of a data set, kept small: a million entries are usual.
 *
 * An entry is 32 bytes and a name in the arena.  Labels that are texts are kept once each: until the
 * source has been read to its end an entry's label is an index into them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "deconvoy/log.h"
#include "io/source.h"

dcv_status dcv_manifest_new(dcv_manifest *m)
{
    memset(m, 0, sizeof *m);
    return dcv_arena_new(&m->arena);
}

void dcv_manifest_free(dcv_manifest *m)
{
    dcv_arena_free(m->arena);
    dcv_free(m->entry);
    dcv_free(m->at);
    dcv_free(m->text);
    dcv_free(m->slot);
    memset(m, 0, sizeof *m);
}

static dcv_status make_room(dcv_manifest *m, int64_t n)
{
    if (n <= m->room)
        return DCV_OK;
    const int64_t want = n > 2 * m->room ? n : 2 * m->room, room = want < 64 ? 64 : want;
    dcv_entry *bigger = dcv_realloc(m->entry, (size_t)m->room, (size_t)room, sizeof *bigger);
    if (!bigger)
        return DCV_ENOMEM;
    m->entry = bigger;
    m->room = room;
    return DCV_OK;
}

dcv_status dcv_manifest_add(dcv_manifest *m, const char *name, size_t name_bytes, int64_t bytes, int64_t mtime_ns)
{
    DCV_TRY(make_room(m, m->n + 1));
    const char *kept = dcv_arena_strndup(m->arena, name, name_bytes);
    if (!kept)
        return DCV_ENOMEM;
    m->entry[m->n++] = (dcv_entry){.name = kept, .bytes = bytes, .mtime_ns = mtime_ns, .label = -1};
    return DCV_OK;
}

dcv_status dcv_manifest_numbered(dcv_manifest *m, int64_t n, int64_t bytes, int64_t mtime_ns)
{
    char number[24];
    const int digits = snprintf(number, sizeof number, "%06lld", (long long)(n > 0 ? n - 1 : 0));
    DCV_TRY(make_room(m, n));
    char *names = dcv_arena_alloc(m->arena, (size_t)n, (size_t)digits + 1);
    if (!names)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < n; i++, names += digits + 1) {
        snprintf(names, (size_t)digits + 1, "%0*lld", digits, (long long)i);
        m->entry[i] = (dcv_entry){.name = names, .bytes = bytes, .mtime_ns = mtime_ns, .label = -1};
    }
    m->n = n;
    return DCV_OK;
}

/* --- order ------------------------------------------------------------------------------ */

typedef struct placed {
    dcv_entry entry;
    int64_t at;
} placed;

static int by_name(const void *a, const void *b)
{
    const placed *p = a, *q = b;
    const int order = strcmp(p->entry.name, q->entry.name);
    return order ? order : (p->at > q->at) - (p->at < q->at); /* a tar may hold a name twice */
}

dcv_status dcv_manifest_sort(dcv_manifest *m)
{
    placed *p = dcv_alloc((size_t)m->n, sizeof *p);
    if (!p)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < m->n; i++)
        p[i] = (placed){m->entry[i], m->at ? m->at[i] : 0};
    qsort(p, (size_t)m->n, sizeof *p, by_name);
    for (int64_t i = 0; i < m->n; i++) {
        m->entry[i] = p[i].entry;
        if (m->at)
            m->at[i] = p[i].at;
    }
    dcv_free(p);
    return DCV_OK;
}

/* --- labels ----------------------------------------------------------------------------- */

static uint32_t hash_of(const char *text, size_t n) /* FNV-1a */
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)text[i]) * 16777619u;
    return h;
}

static int32_t *slot_of(const dcv_manifest *m, const char *text, size_t n)
{
    uint32_t i = hash_of(text, n) & (uint32_t)(m->n_slot - 1);
    while (m->slot[i] >= 0 && (strncmp(m->text[m->slot[i]], text, n) != 0 || m->text[m->slot[i]][n]))
        i = (i + 1) & (uint32_t)(m->n_slot - 1);
    return &m->slot[i];
}

/* At most half of the slots are taken; their number is a power of two. */
static dcv_status more_slots(dcv_manifest *m)
{
    if (2 * (m->n_text + 1) <= m->n_slot)
        return DCV_OK;
    const int32_t n = m->n_slot ? 2 * m->n_slot : 64;
    int32_t *slot = dcv_alloc((size_t)n, sizeof *slot);
    if (!slot)
        return DCV_ENOMEM;
    dcv_free(m->slot);
    m->slot = slot;
    m->n_slot = n;
    for (int32_t i = 0; i < n; i++)
        slot[i] = -1;
    for (int32_t i = 0; i < m->n_text; i++)
        *slot_of(m, m->text[i], strlen(m->text[i])) = i;
    return DCV_OK;
}

dcv_status dcv_manifest_label(dcv_manifest *m, int64_t i, const char *text, size_t n)
{
    m->entry[i].label = -1;
    if (n == 0)
        return DCV_OK;
    DCV_TRY(more_slots(m));
    int32_t *slot = slot_of(m, text, n);
    if (*slot < 0) {
        if (m->n_text > DCV_LABEL_MAX)
            return dcv_fail(DCV_EDATA, "%s: more than %d different labels", m->entry[i].name, DCV_LABEL_MAX + 1);
        if (m->n_text == m->text_room) {
            const int32_t room = m->text_room ? 2 * m->text_room : 64;
            const char **bigger = dcv_realloc(m->text, (size_t)m->text_room, (size_t)room, sizeof *bigger);
            if (!bigger)
                return DCV_ENOMEM;
            m->text = bigger;
            m->text_room = room;
        }
        const char *kept = dcv_arena_strndup(m->arena, text, n);
        if (!kept)
            return DCV_ENOMEM;
        m->text[m->n_text] = kept;
        *slot = m->n_text++;
    }
    m->entry[i].label = *slot;
    if (m->kind == DCV_LABELS_NONE)
        m->kind = DCV_LABELS_TEXTS;
    return DCV_OK;
}

/* What follows replaces the labels that a list or an array brought. */
static void forget_labels(dcv_manifest *m)
{
    m->kind = DCV_LABELS_NONE;
    m->n_text = 0;
    for (int32_t i = 0; i < m->n_slot; i++)
        m->slot[i] = -1;
}

dcv_status dcv_manifest_label_folders(dcv_manifest *m)
{
    forget_labels(m);
    m->kind = DCV_LABELS_NAMES;
    for (int64_t i = 0; i < m->n; i++) {
        const char *name = m->entry[i].name, *end = strrchr(name, '/'), *start = end;
        while (start && start > name && start[-1] != '/')
            start--;
        if (end && !(end - start == 1 && *start == '.') && !(end - start == 2 && start[0] == '.' && start[1] == '.'))
            DCV_TRY(dcv_manifest_label(m, i, start, (size_t)(end - start)));
    }
    return DCV_OK;
}

/* A class number, or -1 for unknown. */
static bool is_number(const char *text, int64_t *v)
{
    char *end;
    errno = 0;
    *v = strtoll(text, &end, 10);
    return end != text && *end == 0 && errno == 0 && strchr("-0123456789", text[0]);
}

static bool all_numbers(const dcv_manifest *m)
{
    int64_t v;
    for (int32_t i = 0; i < m->n_text; i++)
        if (!is_number(m->text[i], &v))
            return false;
    return true;
}

static dcv_status numbers_of_texts(dcv_manifest *m, int32_t *number)
{
    for (int32_t i = 0; i < m->n_text; i++) {
        int64_t v;
        if (!is_number(m->text[i], &v) || v < -1 || v > DCV_LABEL_MAX)
            return dcv_fail(DCV_EDATA, "label %s; expected a class number 0 .. %d, or -1 for unknown", m->text[i],
                            DCV_LABEL_MAX);
        number[i] = (int32_t)v;
    }
    return DCV_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names that the model does not know count from 0 in sorted order. */
static dcv_status numbers_of_names(dcv_manifest *m, const dcv_labels *labels, int32_t *number)
{
    const char **other = dcv_alloc((size_t)m->n_text, sizeof *other);
    if (!other)
        return DCV_ENOMEM;
    int32_t n_other = 0;
    for (int32_t i = 0; i < m->n_text; i++) {
        number[i] = labels ? dcv_labels_find(labels, m->text[i]) : -1;
        if (number[i] < 0)
            other[n_other++] = m->text[i];
    }
    qsort(other, (size_t)n_other, sizeof *other, by_text);
    for (int32_t i = 0; i < n_other; i++)
        number[*slot_of(m, other[i], strlen(other[i]))] = i;
    if (n_other && labels)
        dcv_log_warning(
            "%d of %d label names are not in model.labels (the first: %s); they are numbered from 0, which are "
            "other classes of the model",
            n_other, m->n_text, other[0]);
    dcv_free(other);
    return DCV_OK;
}

static dcv_status name_classes(dcv_manifest *m, const dcv_labels *labels, const int32_t *number, int32_t classes,
                               const char ***out)
{
    const char **name = dcv_arena_alloc(m->arena, (size_t)classes, sizeof *name);
    if (!name)
        return DCV_ENOMEM;
    for (int32_t k = 0; k < classes; k++) {
        name[k] = labels && k < labels->n ? dcv_arena_strdup(m->arena, labels->line[k]) : "";
        if (!name[k])
            return DCV_ENOMEM;
    }
    for (int32_t i = 0; i < m->n_text; i++)
        name[number[i]] = m->text[i];
    *out = name;
    return DCV_OK;
}

static int32_t largest_label(const dcv_manifest *m)
{
    int32_t most = -1;
    for (int64_t i = 0; i < m->n; i++)
        if (m->entry[i].label > most)
            most = m->entry[i].label;
    return most;
}

dcv_status dcv_manifest_classes(dcv_manifest *m, const dcv_labels *labels, int32_t *classes, const char ***names)
{
    *names = NULL;
    *classes = 0;
    if (m->kind == DCV_LABELS_NONE)
        return DCV_OK;
    if (m->kind == DCV_LABELS_NUMBERS) {
        *classes = largest_label(m) + 1;
        return DCV_OK;
    }
    dcv_status st = DCV_OK;
    const bool named = m->kind == DCV_LABELS_NAMES || !all_numbers(m);
    int32_t *number = dcv_alloc((size_t)m->n_text, sizeof *number);
    if (!number)
        return DCV_ENOMEM;
    DCV_TRY_DONE(st, named ? numbers_of_names(m, labels, number) : numbers_of_texts(m, number));
    for (int64_t i = 0; i < m->n; i++)
        if (m->entry[i].label >= 0)
            m->entry[i].label = number[m->entry[i].label];
    *classes = largest_label(m) + 1;
    if (named && *classes > 0)
        st = name_classes(m, labels, number, *classes, names);
    m->kind = DCV_LABELS_NUMBERS;
done:
    dcv_free(number);
    return st;
}

/* --- label files ------------------------------------------------------------------------ */

static dcv_status wrong_count(const dcv_manifest *m, const char *shown, int64_t n)
{
    return dcv_fail(DCV_EDATA, "%s: %lld labels for %lld items", shown, (long long)n, (long long)m->n);
}

static dcv_status label_numbers(dcv_manifest *m, const char *file, const char *shown)
{
    int32_t *label = NULL;
    int64_t n = 0;
    DCV_TRY(dcv_idx_labels(file, shown, &label, &n));
    const dcv_status st = n == m->n ? DCV_OK : wrong_count(m, shown, n);
    for (int64_t i = 0; st == DCV_OK && i < n; i++)
        m->entry[i].label = label[i];
    m->kind = DCV_LABELS_NUMBERS;
    dcv_free(label);
    return st;
}

/* Lines of text; a last newline, a byte order mark and carriage returns count for nothing, and so do blank lines at the
 * end. */
static dcv_status label_lines(dcv_manifest *m, const char *text, size_t n, const char *shown)
{
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3, n -= 3;
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    if (memchr(text, 0, n))
        return dcv_fail(DCV_EDATA, "%s: neither an IDX file nor text", shown);
    int64_t lines = 0;
    for (const char *at = text, *end = text + n; n > 0 && at <= end; lines++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            stop = end;
        const char *last = stop;
        while (last > at && strchr(" \t\r", last[-1]))
            last--;
        if (lines < m->n)
            DCV_TRY(dcv_manifest_label(m, lines, at, (size_t)(last - at)));
        at = stop + 1;
    }
    return lines == m->n ? DCV_OK : wrong_count(m, shown, lines);
}

dcv_status dcv_manifest_label_file(dcv_manifest *m, const char *file, const char *shown)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    forget_labels(m);
    if (access(file, F_OK) != 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", shown, strerror(errno));
    DCV_TRY(dcv_read_item_file(file, shown, -1, &bytes, &n));
    const dcv_status st =
        dcv_idx_knows(bytes, n) ? label_numbers(m, file, shown) : label_lines(m, (const char *)bytes, n, shown);
    dcv_free(bytes);
    return st;
}
