/* listing_print.c -- a model's listing as text and as JSON. */
#include <inttypes.h>
#include "calls/columns.h"
#include "calls/listing.h"
#include "core/json.h"
#include "deconvoy/memory.h"

/* --- As text ----------------------------------------------------------------------------------------- */

static void put_extents(dcv_text *t, const dcv_dims *d)
{
    dcv_text cell = {0};
    for (int i = 0; i < d->n; i++)
        if (d->d[i] < 0)
            dcv_text_add(&cell, "%s?", i ? "x" : "");
        else
            dcv_text_add(&cell, "%s%" PRId64, i ? "x" : "", d->d[i]);
    dcv_cell(t, "%s", d->n ? cell.s : "scalar");
    dcv_free(dcv_text_take(&cell));
}

/* "3x3 / 2 @ -1": size, stride, offset; an axis that is as the one before is said once. */
static void put_field(dcv_text *t, const dcv_row *r, int part)
{
    dcv_text cell = {0};
    for (int i = 0; i < r->n_axes; i++) {
        const dcv_cell_field *f = &r->field[i];
        const double v = part == 0 ? (double)f->size : part == 1 ? f->stride : f->offset;
        if (f->known)
            dcv_text_add(&cell, "%s%g", i ? (part == 2 ? "," : "x") : "", v);
        else
            dcv_text_add(&cell, "%s?", i ? (part == 2 ? "," : "x") : "");
    }
    dcv_cell(t, "%s", r->n_axes ? cell.s : "");
    dcv_free(dcv_text_take(&cell));
}

static void put_methods(dcv_text *t, const dcv_row *r)
{
    dcv_text cell = {0};
    dcv_text_add(&cell, "%s", r->folded ? "(constant)" : "");
    for (int i = 0; dcv_listing_method(i); i++)
        if (r->methods & 1u << i)
            dcv_text_add(&cell, "%s%s", cell.n ? " " : "", dcv_listing_method(i));
    dcv_cell(t, "%s%s", cell.s ? cell.s : "", r->layer ? " *" : "");
    dcv_free(dcv_text_take(&cell));
}

static void put_row(dcv_text *t, const dcv_row *r)
{
    dcv_cell(t, "%s", r->name);
    dcv_cell(t, "%s", r->op);
    dcv_cell(t, "%s", r->output);
    if (r->shaped)
        put_extents(t, &r->dims);
    else
        dcv_cell(t, r->folded ? "" : "?");
    dcv_cell_count(t, r->parameters);
    dcv_cell_amount(t, r->macs);
    for (int part = 0; part < 3; part++)
        put_field(t, r, part);
    put_methods(t, r);
    dcv_cell_end(t);
}

static void put_value_line(FILE *to, const char *what, const dcv_model_value *v)
{
    fprintf(to, "%-8s %s %s ", what, v->name, v->elem_name);
    for (int i = 0; i < v->rank; i++)
        if (v->dim[i] >= 0)
            fprintf(to, "%s%" PRId64, i ? "x" : "", v->dim[i]);
        else
            fprintf(to, "%s%s", i ? "x" : "", v->symbol[i] ? v->symbol[i] : "?");
    fprintf(to, "%s\n", v->rank < 0 ? "of any shape" : v->rank == 0 ? "scalar" : "");
}

static const char *const heads[] = {[DCV_HEAD_LOGITS] = "logits",
                                    [DCV_HEAD_SOFTMAX] = "softmax",
                                    [DCV_HEAD_LOG_SOFTMAX] = "log_softmax",
                                    [DCV_HEAD_SIGMOID] = "sigmoid"};

static void put_head(FILE *to, const dcv_listing *l)
{
    const dcv_model *m = l->model;
    fprintf(to, "model    %s\n", m->file);
    fprintf(to, "format   ONNX, opset %d, IR version %" PRId64 "%s%s\n", m->opset, m->ir_version,
            *m->producer ? ", by " : "", m->producer);
    for (int i = 0; i < m->n_in; i++)
        put_value_line(to, "input", &m->in[i]);
    for (int i = 0; i < m->n_out; i++)
        put_value_line(to, "output", &m->out[i]);
    if (l->g && l->g->logits >= 0)
        fprintf(to, "classes  %" PRId64 ", logits %s%s%s\n", l->g->classes, l->g->value[l->g->logits].name,
                l->g->head == DCV_HEAD_LOGITS ? "" : ", then ", l->g->head == DCV_HEAD_LOGITS ? "" : heads[l->g->head]);
    fprintf(to, "\n");
}

dcv_status dcv_listing_text(const dcv_listing *l, FILE *to)
{
    static const char *const titles[] = {"node", "operator", "output", "shape",  "parameters",
                                         "MACs", "field",    "stride", "offset", "methods (* = layers: all)"};
    dcv_text t = {0};
    put_head(to, l);
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        dcv_cell(&t, "%s", titles[i]);
    dcv_cell_end(&t);
    for (int i = 0; i < l->n; i++)
        put_row(&t, &l->row[i]);
    DCV_TRY(dcv_columns_print(to, &t, "llllrrrrrl"));
    fprintf(to, "\ntotal    %d nodes, ", l->n);
    fprintf(to, "%" PRId64 " parameters, ", l->parameters);
    if (l->macs >= 0)
        fprintf(to, "%.4g million multiply-adds for one picture\n", (double)l->macs / 1e6);
    else
        fprintf(to, "multiply-adds unknown%s\n", l->g ? " (give --input-shape C,H,W)" : "");
    return DCV_OK;
}

/* --- As JSON ----------------------------------------------------------------------------------------- */

static void put_number(dcv_json *j, const char *key, int64_t v)
{
    if (v < 0)
        dcv_json_null(j, key);
    else
        dcv_json_int(j, key, v);
}

static void put_dims(dcv_json *j, const char *key, const int64_t *d, int n)
{
    dcv_json_open(j, key, '[');
    for (int i = 0; i < n; i++)
        put_number(j, NULL, d[i]);
    dcv_json_close(j, ']');
}

static void put_axes(dcv_json *j, const char *key, const dcv_row *r, int part)
{
    dcv_json_open(j, key, '[');
    for (int i = 0; i < r->n_axes; i++) {
        const dcv_cell_field *f = &r->field[i];
        if (f->known)
            dcv_json_real(j, NULL, part == 0 ? (double)f->size : part == 1 ? f->stride : f->offset);
        else
            dcv_json_null(j, NULL);
    }
    dcv_json_close(j, ']');
}

static void put_json_field(dcv_json *j, const dcv_row *r)
{
    if (!r->n_axes) {
        dcv_json_null(j, "receptive_field");
        return;
    }
    dcv_json_open(j, "receptive_field", '{');
    put_axes(j, "size", r, 0);
    put_axes(j, "stride", r, 1);
    put_axes(j, "offset", r, 2);
    dcv_json_close(j, '}');
}

static void put_json_row(dcv_json *j, const dcv_row *r)
{
    dcv_json_open(j, NULL, '{');
    dcv_json_string(j, "name", r->name);
    dcv_json_string(j, "op", r->op);
    dcv_json_string(j, "output", r->output);
    if (r->shaped)
        put_dims(j, "shape", r->dims.d, r->dims.n);
    else
        dcv_json_null(j, "shape");
    dcv_json_int(j, "parameters", r->parameters);
    put_number(j, "macs", r->macs);
    put_json_field(j, r);
    dcv_json_bool(j, "constant", r->folded);
    dcv_json_bool(j, "layer", r->layer);
    dcv_json_open(j, "methods", '[');
    for (int i = 0; dcv_listing_method(i); i++)
        if (r->methods & 1u << i)
            dcv_json_string(j, NULL, dcv_listing_method(i));
    dcv_json_close(j, ']');
    dcv_json_close(j, '}');
}

static void put_json_values(dcv_json *j, const char *key, const dcv_model_value *v, int n)
{
    dcv_json_open(j, key, '[');
    for (int i = 0; i < n; i++) {
        dcv_json_open(j, NULL, '{');
        dcv_json_string(j, "name", v[i].name);
        dcv_json_string(j, "type", v[i].elem_name);
        if (v[i].rank >= 0)
            put_dims(j, "shape", v[i].dim, v[i].rank);
        else
            dcv_json_null(j, "shape");
        dcv_json_close(j, '}');
    }
    dcv_json_close(j, ']');
}

static void put_json_head(dcv_json *j, const dcv_listing *l)
{
    const dcv_model *m = l->model;
    const bool classifier = l->g && l->g->logits >= 0;
    dcv_json_string(j, "kind", "model");
    dcv_json_string(j, "file", m->file);
    dcv_json_int(j, "bytes", m->bytes);
    dcv_json_string(j, "sha256", m->sha256.hex);
    dcv_json_int(j, "opset", m->opset);
    dcv_json_int(j, "ir_version", m->ir_version);
    dcv_json_string(j, "producer", m->producer);
    put_json_values(j, "inputs", m->in, m->n_in);
    put_json_values(j, "outputs", m->out, m->n_out);
    put_number(j, "classes", l->g ? l->g->classes : DCV_UNKNOWN);
    dcv_json_string(j, "logits", classifier ? l->g->value[l->g->logits].name : NULL);
    dcv_json_string(j, "head", classifier ? heads[l->g->head] : NULL);
}

dcv_status dcv_listing_json(const dcv_listing *l, FILE *to)
{
    dcv_json j = {0};
    dcv_json_open(&j, NULL, '{');
    put_json_head(&j, l);
    dcv_json_open(&j, "nodes", '[');
    for (int i = 0; i < l->n; i++)
        put_json_row(&j, &l->row[i]);
    dcv_json_close(&j, ']');
    dcv_json_open(&j, "totals", '{');
    dcv_json_int(&j, "nodes", l->n);
    dcv_json_int(&j, "parameters", l->parameters);
    put_number(&j, "macs", l->macs);
    dcv_json_close(&j, '}');
    dcv_json_close(&j, '}');
    return dcv_json_print(&j, to);
}
