/* max_activation_boxes.c -- what each place of a layer sees, for pictures of one size. */
#include <string.h>
#include "jobs/max_activation.h"

void top_boxes_clear(const top_job *j, top_boxes *b)
{
    for (int i = 0; b->rows && b->cols && i < j->n_layers; i++) {
        dcv_free(b->rows[i]);
        dcv_free(b->cols[i]);
    }
    dcv_free(b->rows);
    dcv_free(b->cols);
    memset(b, 0, sizeof *b);
}

static dcv_status boxes_make(const top_job *j, const dcv_graph *g, top_boxes *b)
{
    b->rows = dcv_alloc((size_t)j->n_layers, sizeof *b->rows);
    b->cols = dcv_alloc((size_t)j->n_layers, sizeof *b->cols);
    if (!b->rows || !b->cols)
        return DCV_ENOMEM;
    for (int i = 0; i < j->n_layers; i++) {
        const int v = dcv_graph_find(g, j->layer[i].name);
        DCV_CHECK(v >= 0);
        DCV_TRY(top_spans_new(g, v, 0, &b->rows[i]));
        DCV_TRY(top_spans_new(g, v, 1, &b->cols[i]));
    }
    return DCV_OK;
}

dcv_status top_boxes_for(const top_job *j, const dcv_graph *g, int64_t h, int64_t w, top_boxes *b)
{
    dcv_dims dims = j->net.graph->value[j->net.graph->in[0]].dims;
    if (b->rows && b->h == h && b->w == w)
        return DCV_OK;
    top_boxes_clear(j, b);
    b->h = h;
    b->w = w;
    if (g)
        return boxes_make(j, g, b);
    if (dims.n != 4 || (dims.d[2] == h && dims.d[3] == w))
        return boxes_make(j, j->net.graph, b);
    dcv_graph *own;
    dims.d[2] = h;
    dims.d[3] = w;
    DCV_TRY(dcv_graph_new(j->net.model, &dims, 1, &own));
    const dcv_status st = boxes_make(j, own, b);
    dcv_graph_free(own);
    return st;
}

void top_box_at(const top_job *j, const top_boxes *b, int i, int32_t y, int32_t x, int32_t *to)
{
    const bool whole = j->options->rank_by == TOP_BY_MEAN;
    const dcv_span row = whole ? (dcv_span){0, b->h} : b->rows[i][y], col = whole ? (dcv_span){0, b->w} : b->cols[i][x];
    to[0] = (int32_t)row.lo;
    to[1] = (int32_t)col.lo;
    to[2] = (int32_t)row.hi;
    to[3] = (int32_t)col.hi;
}
