/* targets.c -- `at`, `targets` and `unit`: which units of a network a method is about, picture by picture. */
#include "jobs/targets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deconvoy/log.h"
#include "deconvoy/memory.h"

enum { RANKED = 5, UNIT_MAX = 0, UNIT_SUM = 1 }; /* words of `unit` */

struct dcv_target {
    enum { TARGET_TOP, TARGET_LABEL, TARGET_NUMBER } kind;
    int64_t number; /* rank, or channel */
};

static const dcv_unit no_unit = {.channel = -1, .value = NAN, .y = -1, .x = -1};

/* --- Plan ------------------------------------------------------------------------- */

void dcv_targets_start(dcv_targets *t, const dcv_config *c, const char *section, const char *at, const dcv_ints *unit)
{
    *t = (dcv_targets){.config = c, .section = section, .at = at, .unit = unit};
    t->probability = !strcmp(at, "probability");
    t->inner = !t->probability && strcmp(at, "logits") != 0;
}

/* "SECTION.key", or "SECTION.key[i]" where i >= 0. */
static const char *key_of(const dcv_targets *t, const char *key, int i, char *to, size_t size)
{
    if (i < 0)
        snprintf(to, size, "%s.%s", t->section, key);
    else
        snprintf(to, size, "%s.%s[%d]", t->section, key, i);
    return to;
}

dcv_status dcv_targets_value(const dcv_targets *t, const dcv_graph *g, int *value)
{
    char key[96];
    key_of(t, "at", -1, key, sizeof key);
    *value = t->inner ? dcv_graph_find(g, t->at) : g->logits;
    if (*value < 0 && !t->inner)
        return dcv_config_fail(t->config, key, "the network is no classifier; name a layer as `inspect` prints it");
    if (*value < 0) {
        (void)dcv_graph_unknown(g, t->at);
        return dcv_config_fail(t->config, key, "%s", dcv_message());
    }
    const dcv_value *v = &g->value[*value];
    if (!v->batched || v->type != DCV_F32 || v->producer < 0)
        return dcv_config_fail(t->config, key, "\"%s\" is not computed from the input; choose an operator's output",
                               t->at);
    return DCV_OK;
}

static int value_of(const dcv_targets *t, const dcv_graph *g)
{
    return t->inner ? dcv_graph_find(g, t->at) : g->logits;
}

static dcv_map map_of(const dcv_targets *t, const dcv_graph *g)
{
    return dcv_value_map(&g->value[value_of(t, g)]);
}

static void add(dcv_targets *t, int kind, int64_t number)
{
    t->list[t->n++] = (dcv_target){kind, number};
}

static dcv_status add_number(dcv_targets *t, const char *text, const char *key, int64_t channels)
{
    char *end;
    const int64_t number = strtoll(text, &end, 10);
    if (*end || end == text)
        return dcv_config_fail(t->config, key, "no target \"%s\"; expected top1, top5, label or a number", text);
    if (number < 0 || number >= channels)
        return dcv_config_fail(t->config, key, "%s %s; \"%s\" has %s 0 to %lld", t->inner ? "channel" : "class", text,
                               t->at, t->inner ? "channels" : "classes", (long long)channels - 1);
    add(t, TARGET_NUMBER, number);
    return DCV_OK;
}

static dcv_status add_target(dcv_targets *t, const char *text, const char *key, int64_t channels)
{
    const int ranks = !strcmp(text, "top1") ? 1 : !strcmp(text, "top5") ? RANKED : 0;
    for (int i = 0; i < ranks; i++)
        add(t, TARGET_TOP, i);
    if (ranks > 0)
        return DCV_OK;
    if (strcmp(text, "label"))
        return add_number(t, text, key, channels);
    if (t->inner)
        return dcv_config_fail(t->config, key, "a label is no channel of layer \"%s\"; use top1 or numbers", t->at);
    add(t, TARGET_LABEL, 0);
    return DCV_OK;
}

static dcv_status check_unit(const dcv_targets *t, const dcv_map *m)
{
    const dcv_ints *u = t->unit;
    char key[96];
    key_of(t, "unit", -1, key, sizeof key);
    if (!u || u->word >= 0)
        return DCV_OK;
    if (u->n != 2)
        return dcv_config_fail(t->config, key, "expected max, sum or [y, x]");
    if (u->v[0] < 0 || u->v[0] >= m->h || u->v[1] < 0 || u->v[1] >= m->w)
        return dcv_config_fail(t->config, key, "[%lld, %lld]; \"%s\" has %lld rows and %lld columns",
                               (long long)u->v[0], (long long)u->v[1], t->at, (long long)m->h, (long long)m->w);
    return DCV_OK;
}

dcv_status dcv_targets_read(dcv_targets *t, const dcv_names *names, const dcv_graph *g)
{
    const dcv_map m = map_of(t, g);
    const bool all = names->word >= 0;
    char key[96];
    t->list = dcv_alloc(all ? (size_t)m.c : RANKED * (size_t)names->n, sizeof *t->list);
    if (!t->list)
        return DCV_ENOMEM;
    for (int64_t c = 0; all && c < m.c; c++)
        add(t, TARGET_NUMBER, c);
    for (int i = 0; !all && i < names->n; i++)
        DCV_TRY(add_target(t, names->v[i], key_of(t, "targets", i, key, sizeof key), m.c));
    if (t->n == 0)
        return dcv_config_fail(t->config, key_of(t, "targets", -1, key, sizeof key), "no target");
    return check_unit(t, &m);
}

void dcv_targets_warn(const dcv_targets *t, const dcv_dataset *d)
{
    bool asked = false, labelled = false;
    for (int i = 0; i < t->n; i++)
        asked |= t->list[i].kind == TARGET_LABEL;
    for (int64_t i = 0; d && asked && !labelled && i < d->n; i++)
        labelled = d->entry[i].label >= 0;
    if (d && asked && !labelled)
        dcv_log_warning(
            "%s.targets: label is asked for, and no item has one (see dataset.labels): those targets are -1, their "
            "results NaN",
            t->section);
}

void dcv_targets_clear(dcv_targets *t)
{
    dcv_free(t->list);
    t->list = NULL;
}

/* --- Units of a picture ----------------------------------------------------------- */

void dcv_softmax(float *x, int64_t n)
{
    float most = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(exp((double)x[i] - most) / sum);
}

/* Is a softmax to be put on what the walk gives? */
static bool appends(const dcv_targets *t, const dcv_graph *g)
{
    return t->probability && g->head != DCV_HEAD_SIGMOID;
}

void dcv_targets_see(const dcv_targets *t, const dcv_graph *g, const dcv_blob *b, float *x)
{
    dcv_blob_read(b, x);
    if (appends(t, g))
        dcv_softmax(x, dcv_count(b->dims));
}

static int64_t first_maximum(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = x[i] > x[best] || (isnan(x[best]) && !isnan(x[i])) ? i : best;
    return best;
}

/* The first channels by their largest value, ties to the lower one, NaN last.  Returns how many. */
static int rank_channels(const float *x, const dcv_map *m, int64_t order[RANKED])
{
    const int64_t cells = m->h * m->w;
    float best[RANKED];
    int n = 0;
    for (int64_t c = 0; c < m->c; c++) {
        const float v = x[c * cells + first_maximum(x + c * cells, cells)];
        int at = n;
        while (at > 0 && (v > best[at - 1] || (isnan(best[at - 1]) && !isnan(v))))
            at--;
        if (at == RANKED)
            continue;
        n = n < RANKED ? n + 1 : RANKED;
        memmove(order + at + 1, order + at, sizeof *order * (size_t)(n - 1 - at));
        memmove(best + at + 1, best + at, sizeof *best * (size_t)(n - 1 - at));
        order[at] = c;
        best[at] = v;
    }
    return n;
}

static dcv_unit unit_of(const dcv_targets *t, const float *x, const dcv_map *m, int64_t channel)
{
    const int64_t cells = m->h * m->w;
    const int word = t->unit ? t->unit->word : UNIT_MAX;
    x += channel * cells;
    if (word == UNIT_SUM) {
        double sum = 0;
        for (int64_t i = 0; i < cells; i++)
            sum += x[i];
        return (dcv_unit){channel, (float)sum, -1, -1};
    }
    if (word < 0 && (t->unit->v[0] >= m->h || t->unit->v[1] >= m->w)) /* a smaller picture has no such cell */
        return no_unit;
    const int64_t at = word < 0 ? t->unit->v[0] * m->w + t->unit->v[1] : first_maximum(x, cells);
    return (dcv_unit){channel, x[at], at / m->w, at % m->w};
}

void dcv_targets_find(const dcv_targets *t, const dcv_graph *g, const float *x, int32_t label, dcv_unit *to)
{
    const dcv_map m = map_of(t, g);
    int64_t order[RANKED];
    const int ranked = rank_channels(x, &m, order);
    for (int i = 0; i < t->n; i++) {
        const dcv_target *want = &t->list[i];
        const int64_t channel = want->kind == TARGET_NUMBER  ? want->number
                                : want->kind == TARGET_LABEL ? (label < m.c ? label : -1)
                                : want->number < ranked      ? order[want->number]
                                                             : -1;
        to[i] = channel < 0 ? no_unit : unit_of(t, x, &m, channel);
    }
}

dcv_seed dcv_targets_seed(const dcv_targets *t, const dcv_graph *g, const dcv_unit *u, const float *x, bool activation,
                          int picture, int64_t *cell, float *weight)
{
    const dcv_map m = map_of(t, g);
    const int64_t cells = m.h * m.w;
    int64_t n = 0;
    if (appends(t, g)) { /* dp/dy = p (delta - p) */
        const double p = x[u->channel];
        for (; n < m.c; n++) {
            cell[n] = n;
            weight[n] = (float)((activation ? p : 1) * p * ((n == u->channel) - (double)x[n]));
        }
        return (dcv_seed){picture, n, cell, weight};
    }
    const bool all = u->y < 0;
    for (int64_t i = all ? 0 : u->y * m.w + u->x, end = all ? cells : i + 1; i < end; i++, n++) {
        cell[n] = u->channel * cells + i;
        weight[n] = activation ? x[cell[n]] : 1;
    }
    return (dcv_seed){picture, n, cell, weight};
}
