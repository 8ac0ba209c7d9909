/* network.c -- model, items, engines and /inputs of a job over a network. */
#include "jobs/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/text.h"
#include "deconvoy/log.h"

enum { VIEWS = 4 };                      /* sizes of input whose engines a thread keeps */
static const double nominal_gflops = 50; /* the speed that unit_seconds is counted at */
static const int64_t most_unit_items = 512;

typedef struct thread_views {
    dcv_view view[VIEWS]; /* the last used first */
    int n;
} thread_views;

typedef struct own_part {
    dcv_network_options options;
    thread_views *thread; /* [threads] */
} own_part;

/* --- Opening ---------------------------------------------------------------------- */

/* A file that a key names must be readable before its reader is asked, whose message knows no key. */
static dcv_status is_there(const dcv_config *c, const char *key, const char *file)
{
    return access(dcv_config_path(c, file), R_OK) == 0 ? DCV_OK
                                                       : dcv_config_missing(c, key, dcv_config_path(c, file), file);
}

static dcv_status open_model(dcv_network *net)
{
    const dcv_config *c = net->config;
    DCV_TRY(is_there(c, "model.file", c->model.file));
    DCV_TRY(dcv_model_open(dcv_config_path(c, c->model.file), &net->model));
    if (!c->model.labels)
        return DCV_OK;
    DCV_TRY(is_there(c, "model.labels", c->model.labels));
    return dcv_labels_read(dcv_config_path(c, c->model.labels), &net->labels);
}

static const dcv_network_options *options_of(const dcv_network *net)
{
    return &((const own_part *)net->own)->options;
}

/* Shapes of all inputs as file and configuration have them; -1 where they say nothing. */
static dcv_status input_dims(dcv_network *net)
{
    const dcv_model *m = net->model;
    if (m->n_in < 1 || (m->n_in != 1 && !options_of(net)->many_inputs))
        return dcv_config_fail(net->config, "model.file", "%s has %d inputs; %s feeds one", m->file, m->n_in,
                               net->config->section->job);
    net->n_in = m->n_in;
    net->dims = dcv_alloc((size_t)net->n_in, sizeof *net->dims);
    net->more = dcv_alloc((size_t)net->n_in, sizeof *net->more);
    if (!net->dims || !net->more)
        return DCV_ENOMEM;
    for (int k = 0; k < net->n_in; k++) {
        const dcv_ints *shape = k == 0 ? &net->config->model.input_shape : NULL;
        const dcv_status st = dcv_graph_input_dims(m, k, shape, &net->dims[k]);
        DCV_TRY(st == DCV_ECONFIG ? dcv_config_fail(net->config, "model.input_shape", "%s", dcv_message()) : st);
    }
    return DCV_OK;
}

static dcv_status compile(const dcv_network *net, const dcv_graph *g, dcv_engine **out)
{
    const dcv_network_options *own = options_of(net);
    int *seen = dcv_alloc((size_t)g->n_value, sizeof *seen), n_seen = 0;
    dcv_status st = seen ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK && own->choose)
        st = own->choose(own->ctx, g, seen, &n_seen);
    if (st == DCV_OK) {
        const dcv_engine_options o = {.precision = (dcv_precision)net->config->model.precision,
                                      .backend = net->backend,
                                      .seen = seen,
                                      .n_seen = n_seen,
                                      .share = net->engine,
                                      .back = seen,
                                      .n_back = own->back ? n_seen : 0,
                                      .windows = own->windows,
                                      .boxes = own->boxes ? DCV_BOXES_CHEAPER : DCV_BOXES_NONE};
        st = dcv_engine_new(g, &o, out);
    }
    dcv_free(seen);
    return st;
}

static dcv_status pack(void *engine, void *to)
{
    return dcv_engine_pack(engine, to);
}

static dcv_status share_weights(dcv_network *net, dcv_share *share)
{
    const void *packed = NULL;
    if (!share)
        return dcv_engine_pack_own(net->engine);
    DCV_TRY(dcv_share_once(share, dcv_engine_packed_bytes(net->engine), pack, net->engine, &packed));
    dcv_engine_attach(net->engine, packed);
    const bool one_size = (!net->dataset || net->dataset->fixed) && net->walked == net->graph;
    if (one_size && !options_of(net)->many_sizes) /* else other sizes of input pack their own */
        dcv_engine_forget_weights(net->engine);
    return DCV_OK;
}

/* Pictures per unit: unit_seconds of work at a nominal speed, so that the plan is the same on every machine. */
static int64_t unit_items(double unit_seconds, double item_gflop)
{
    const double n = item_gflop > 0 ? unit_seconds * nominal_gflops / item_gflop : (double)most_unit_items;
    return n < 1 ? 1 : n > (double)most_unit_items ? most_unit_items : (int64_t)n;
}

void dcv_network_cost(dcv_network *net, double gflop)
{
    const int64_t n = unit_items(net->config->runtime.unit_seconds, gflop);
    net->item_gflop = gflop;
    net->unit_items = n < net->unit_items ? n : net->unit_items;
}

/* Of an item that has been read or made; 0 where nothing is. */
static int64_t item_bytes(const dcv_network *net)
{
    int64_t sum = net->dataset ? dcv_dataset_item_bytes(net->dataset) : 0;
    for (int k = 1; net->dataset && k < net->n_in; k++)
        sum += dcv_dataset_item_bytes(net->more[k - 1]);
    for (int k = 0; options_of(net)->make && k < net->n_in; k++)
        sum += dcv_count(&net->dims[k]) * (int64_t)sizeof(float);
    return sum;
}

static dcv_status check_memory(const dcv_network *net)
{
    const int64_t need =
        (int64_t)dcv_walk_bytes(net->engine) * net->threads + item_bytes(net) * net->group * net->threads;
    const int64_t limit = net->config->runtime.memory;
    if (need > limit)
        return dcv_config_fail(net->config, "runtime.memory",
                               "one picture on each of %d threads needs %.1f MiB and runtime.memory is %.1f MiB; "
                               "raise it or use fewer threads",
                               net->threads, (double)need / 1048576, (double)limit / 1048576);
    return DCV_OK;
}

/* Where nothing is read, nothing but file and configuration can say how large an input is. */
static dcv_status all_fixed(const dcv_network *net)
{
    for (int k = 0; k < net->n_in; k++)
        for (int i = 0; i < net->dims[k].n; i++)
            if (net->dims[k].d[i] < 0)
                return dcv_config_fail(net->config, "model.input_shape",
                                       "%s leaves extent %d of its input \"%s\" open; %s", net->model->file, i,
                                       net->model->in[k].name,
                                       k ? "only the first input's can be said" : "model.input_shape must say it");
    return DCV_OK;
}

/* Every key of dataset.inputs must be an input. */
static dcv_status check_input_names(const dcv_network *net)
{
    const dcv_pairs *p = &net->config->dataset.inputs;
    const dcv_model *m = net->model;
    for (int i = 0; i < p->n; i++) {
        const char *names[64];
        int n = 0;
        bool known = false;
        for (int k = 0; k < m->n_in; k++) {
            known = known || !strcmp(m->in[k].name, p->key[i]);
            if (n < 64)
                names[n++] = m->in[k].name;
        }
        const char *near = known ? NULL : dcv_nearest(p->key[i], names, (size_t)n);
        if (!known)
            return dcv_config_fail(net->config, "dataset.inputs", "no input \"%s\"; %s has %d, %s \"%s\"", p->key[i],
                                   m->file, m->n_in, near ? "nearest is" : "the first is", near ? near : m->in[0].name);
    }
    return DCV_OK;
}

/* Where dataset.inputs says that input k is; NULL: it says nothing. */
static const char *path_of(const dcv_network *net, int k)
{
    const dcv_pairs *p = &net->config->dataset.inputs;
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->key[i], net->model->in[k].name))
            return p->value[i];
    return NULL;
}

/* One input may be left to dataset.path. */
static dcv_status check_fed(const dcv_network *net)
{
    int left = -1;
    for (int k = 0; k < net->n_in; k++) {
        if (path_of(net, k))
            continue;
        if (left >= 0)
            return dcv_config_fail(net->config, "dataset.inputs",
                                   "%s has inputs \"%s\" and \"%s\", and nothing says where they are; expected {%s: "
                                   "/path, %s: /path}, paths in the .h5",
                                   net->model->file, net->model->in[left].name, net->model->in[k].name,
                                   net->model->in[left].name, net->model->in[k].name);
        left = k;
    }
    return DCV_OK;
}

static dcv_status open_set(dcv_network *net, int k, dcv_dataset **out)
{
    const dcv_want want = {.dims = net->dims[k], .path = path_of(net, k)};
    const dcv_status st = dcv_dataset_open(net->config, &want, k ? NULL : net->labels, out);
    if (st != DCV_OK)
        return net->n_in > 1 && st == DCV_EDATA ? dcv_fail_in(st, "input \"%s\"", net->model->in[k].name) : st;
    const dcv_dataset *d = *out;
    dcv_dims *dims = &net->dims[k];
    if (d->is_float) {
        *dims = d->dims;
    } else {
        dims->d[2] = d->max_h;
        dims->d[3] = d->max_w;
    }
    return DCV_OK;
}

/* Another data set joins what the result calls the data set. */
static dcv_status hash_sets(dcv_network *net)
{
    dcv_hasher *h;
    net->data_sha256 = net->dataset->sha256;
    if (net->n_in == 1)
        return DCV_OK;
    DCV_TRY(dcv_hasher_new(&h));
    dcv_hasher_add_text(h, net->dataset->sha256.hex);
    for (int k = 1; k < net->n_in; k++)
        dcv_hasher_add_text(h, net->more[k - 1]->sha256.hex);
    net->data_sha256 = dcv_hasher_end(h);
    return DCV_OK;
}

static dcv_status open_data(dcv_network *net)
{
    if (options_of(net)->no_data) {
        net->n_items = options_of(net)->n_made;
        return all_fixed(net);
    }
    DCV_TRY(check_input_names(net));
    DCV_TRY(check_fed(net));
    DCV_TRY(open_set(net, 0, &net->dataset));
    net->n_items = net->dataset->n;
    for (int k = 1; k < net->n_in; k++) {
        dcv_dataset **d = &net->more[k - 1];
        DCV_TRY(open_set(net, k, d));
        if ((*d)->n != net->n_items)
            return dcv_config_fail(net->config, "dataset.inputs", "input \"%s\" has %lld items and \"%s\" %lld",
                                   net->model->in[0].name, (long long)net->n_items, net->model->in[k].name,
                                   (long long)(*d)->n);
        if (!(*d)->fixed)
            return dcv_config_fail(net->config, "dataset.inputs",
                                   "\"%s\": only the first input's items may differ in size", net->model->in[k].name);
    }
    return hash_sets(net);
}

/* The network for a first input of that size; the others have one size each. */
static dcv_status graph_for(const dcv_network *net, const dcv_dims *dims, dcv_graph **out)
{
    dcv_dims *all = dcv_alloc((size_t)net->n_in, sizeof *all);
    *out = NULL;
    if (!all)
        return DCV_ENOMEM;
    memcpy(all, net->dims, (size_t)net->n_in * sizeof *all);
    all[0] = *dims;
    const dcv_status st = dcv_graph_new(net->model, all, net->n_in, out);
    dcv_free(all);
    return st;
}

/* Labels are numbers of another list of classes, or wrong: those items count as having none. */
static void warn_of_labels(const dcv_network *net)
{
    const dcv_dataset *d = net->dataset;
    int64_t n = 0, first = -1;
    if (!d || net->graph->classes < 1 || d->label_name || d->classes <= net->graph->classes)
        return;
    for (int64_t i = 0; i < d->n; i++)
        if (d->entry[i].label >= net->graph->classes) {
            first = first < 0 ? i : first;
            n++;
        }
    if (n)
        dcv_log_warning(
            "%lld of %lld labels are beyond the %lld classes of the network (the first: %d, of %s); where a "
            "method asks for the label, those items have none",
            (long long)n, (long long)d->n, (long long)net->graph->classes, (int)d->entry[first].label,
            dcv_dataset_item_name(d, first));
}

static dcv_status choose_walked(dcv_network *net)
{
    dcv_dims dims = net->dims[0];
    net->walked = net->graph;
    if (!options_of(net)->piece)
        return DCV_OK;
    DCV_TRY(options_of(net)->piece(options_of(net)->ctx, net, &dims));
    if (dcv_dims_equal(&dims, &net->dims[0]))
        return DCV_OK;
    net->group = 1; /* large pictures are held one at a time */
    net->walked = NULL;
    return graph_for(net, &dims, &net->walked);
}

/* The key that says how large the inputs are; NULL: the pictures do. */
static const char *size_key(const dcv_network *net)
{
    static const char *const keys[] = {"dataset.preprocess.crop", "dataset.preprocess.resize", "model.input_shape"};
    for (size_t i = net->dataset ? 0 : 2; i < sizeof keys / sizeof *keys; i++)
        if (dcv_config_given(net->config, keys[i]))
            return keys[i];
    return NULL;
}

/* Would the graph be whole if the first input were larger where the file leaves it open? */
static bool larger_would_do(const dcv_network *net)
{
    enum { LARGER = 64, MOST_SIDE = 1 << 14 };
    const dcv_model_value *in = &net->model->in[0];
    dcv_dims dims = net->dims[0];
    dcv_graph *g = NULL;
    for (int k = 2; k < dims.n && k < in->rank; k++)
        if (in->dim[k] < 0 && dims.d[k] < MOST_SIDE)
            dims.d[k] *= LARGER;
    const bool whole = graph_for(net, &dims, &g) == DCV_OK;
    dcv_graph_free(g);
    return whole;
}

/* Inputs that the configuration makes too small for the network are its fault, not the file's. */
static dcv_status make_graph(dcv_network *net)
{
    char text[512];
    const dcv_status st = dcv_graph_new(net->model, net->dims, net->n_in, &net->graph);
    const char *key = st == DCV_EDATA ? size_key(net) : NULL;
    if (!key)
        return st;
    snprintf(text, sizeof text, "%s", dcv_message());
    return larger_would_do(net) ? dcv_config_fail(net->config, key, "inputs are too small for the network: %s", text)
                                : dcv_fail(st, "%s", text);
}

static dcv_status open_all(dcv_network *net, dcv_share *share)
{
    DCV_TRY(dcv_backend_choose(&net->backend));
    DCV_TRY(open_model(net));
    DCV_TRY(input_dims(net));
    DCV_TRY(open_data(net));
    DCV_TRY(make_graph(net));
    if (net->graph->left_out)
        dcv_log_warning("%s: outputs are left out: %s", net->model->file, net->graph->left_out);
    warn_of_labels(net);
    DCV_TRY(choose_walked(net));
    DCV_TRY(compile(net, net->walked, &net->engine));
    net->item_gflop = 2e-9 * (double)dcv_graph_macs(net->graph);
    net->unit_items = unit_items(net->config->runtime.unit_seconds, net->item_gflop);
    DCV_TRY(check_memory(net));
    net->whole_units = item_bytes(net) * net->unit_items <= net->config->runtime.memory / 8;
    return share_weights(net, share);
}

dcv_status dcv_network_open(dcv_network *net, const dcv_config *c, const dcv_network_options *o, dcv_share *share,
                            int threads)
{
    own_part *own = dcv_alloc(1, sizeof *own);
    memset(net, 0, sizeof *net);
    if (!own)
        return DCV_ENOMEM;
    own->options = o ? *o : (dcv_network_options){0};
    net->own = own;
    net->config = c;
    net->threads = threads;
    net->parts = 1;
    net->group = DCV_GROUP;
    net->id_status = net->id_width = net->id_height = net->id_extent = -1;
    own->thread = dcv_alloc((size_t)threads, sizeof *own->thread);
    if (!own->thread)
        return DCV_ENOMEM;
    return open_all(net, share);
}

static void view_free(dcv_network *net, dcv_view *v)
{
    const dcv_network_options *o = options_of(net);
    if (o->close_view && v->own)
        o->close_view(o->ctx, v);
    dcv_walk_free(v->walk);
    if (v->engine != net->engine) {
        dcv_engine_free(v->engine);
        dcv_graph_free(v->graph);
    }
    memset(v, 0, sizeof *v);
}

void dcv_network_close(dcv_network *net)
{
    own_part *own = net->own;
    if (!own)
        return;
    for (int t = 0; own->thread && t < net->threads; t++)
        for (int i = 0; i < own->thread[t].n; i++)
            view_free(net, &own->thread[t].view[i]);
    dcv_free(own->thread);
    dcv_free(own);
    dcv_engine_free(net->engine);
    if (net->walked != net->graph)
        dcv_graph_free(net->walked);
    dcv_graph_free(net->graph);
    dcv_dataset_free(net->dataset);
    for (int k = 1; net->more && k < net->n_in; k++)
        dcv_dataset_free(net->more[k - 1]);
    dcv_free(net->more);
    dcv_free(net->dims);
    dcv_labels_free(net->labels);
    dcv_model_free(net->model);
    memset(net, 0, sizeof *net);
}

void dcv_network_describe(const dcv_network *net, dcv_job *job)
{
    const int64_t item = item_bytes(net);
    job->config = net->config;
    job->dataset = net->dataset;
    job->model_sha256 = net->model->sha256;
    job->n_items = net->n_items;
    job->dataset_sha256 = net->data_sha256;
    job->numerics = dcv_backend_numerics(net->backend);
    job->weight_bytes = (int64_t)dcv_engine_packed_bytes(net->engine);
    job->thread_bytes =
        (int64_t)dcv_walk_bytes(net->engine) + item * (net->walked == net->graph ? DCV_GROUP : net->group);
    job->unit_read_bytes = net->whole_units ? item * net->unit_items : 0;
}

/* --- /inputs ---------------------------------------------------------------------- */

/* Names are bytes; a result's are UTF-8. */
static dcv_status declare_texts(dcv_store *s, const char *path, int64_t n, const char *(*text)(const void *, int64_t),
                                const void *ctx)
{
    int id;
    size_t longest = 1;
    for (int64_t i = 0; i < n; i++)
        longest = strlen(text(ctx, i)) > longest ? strlen(text(ctx, i)) : longest;
    char *all = dcv_alloc((size_t)n, longest);
    if (!all)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < n; i++)
        (void)dcv_utf8_copy(all + (size_t)i * longest, text(ctx, i), longest);
    dcv_status st = dcv_store_dataset(s, path, DCV_U8, (int64_t)longest, &(dcv_dims){1, {n}}, &id);
    if (st == DCV_OK)
        st = dcv_store_values(s, id, all, (size_t)n * longest);
    dcv_free(all);
    return st;
}

static const char *entry_name(const void *dataset, int64_t i)
{
    return ((const dcv_dataset *)dataset)->entry[i].name;
}

static const char *label_name(const void *dataset, int64_t i)
{
    const char *name = ((const dcv_dataset *)dataset)->label_name[i];
    return name ? name : "";
}

static const char *class_name(const void *labels, int64_t i)
{
    return ((const dcv_labels *)labels)->line[i];
}

static dcv_status declare_labels(dcv_store *s, const dcv_dataset *d)
{
    int id;
    int32_t *label = dcv_alloc((size_t)d->n, sizeof *label);
    if (!label)
        return DCV_ENOMEM;
    for (int64_t i = 0; i < d->n; i++)
        label[i] = d->entry[i].label;
    dcv_status st = dcv_store_dataset(s, "/inputs/label", DCV_I32, 0, &(dcv_dims){1, {d->n}}, &id);
    if (st == DCV_OK)
        st = dcv_store_values(s, id, label, (size_t)d->n * sizeof *label);
    dcv_free(label);
    return st;
}

dcv_status dcv_network_declare(dcv_network *net, dcv_store *s)
{
    const dcv_dataset *d = net->dataset;
    const dcv_dims items = {1, {d->n}};
    DCV_TRY(declare_texts(s, "/inputs/name", d->n, entry_name, d));
    DCV_TRY(declare_labels(s, d));
    DCV_TRY(dcv_store_dataset(s, "/inputs/width", DCV_I32, 0, &items, &net->id_width));
    DCV_TRY(dcv_store_dataset(s, "/inputs/height", DCV_I32, 0, &items, &net->id_height));
    DCV_TRY(dcv_store_dataset(s, "/inputs/status", DCV_U8, 0, &items, &net->id_status));
    if (!d->fixed)
        DCV_TRY(dcv_store_dataset(s, "/inputs/extent", DCV_I32, 0, &(dcv_dims){2, {d->n, 2}}, &net->id_extent));
    if (d->label_name)
        DCV_TRY(declare_texts(s, "/labels/name", d->classes, label_name, d));
    if (net->labels && net->graph->classes > 0)
        DCV_TRY(declare_texts(s, "/model/class", net->labels->n, class_name, net->labels));
    return DCV_OK;
}

/* --- Units ------------------------------------------------------------------------ */

typedef struct unit_input {
    int64_t first;
    int n, n_in;
    bool read, row; /* rows of /inputs are this unit's to write */
    dcv_item *item; /* [n][n_in] */
    char **error;   /* [n] NULL: read */
} unit_input;

/* Of the first input. */
static dcv_item *item_at(const unit_input *u, int i)
{
    return &u->item[(int64_t)i * u->n_in];
}

static void clear_item(const unit_input *u, int i)
{
    for (int k = 0; k < u->n_in; k++)
        dcv_item_clear(item_at(u, i) + k);
}

int64_t dcv_network_units(const dcv_network *net)
{
    return (net->n_items + net->unit_items - 1) / net->unit_items * net->parts;
}

int64_t dcv_network_unit_items(const dcv_network *net, int64_t unit)
{
    const int64_t left = net->n_items - unit / net->parts * net->unit_items;
    return left < net->unit_items ? left : net->unit_items;
}

void dcv_network_drop(void *input)
{
    unit_input *u = input;
    if (!u)
        return;
    for (int i = 0; i < u->n; i++) {
        if (u->item)
            clear_item(u, i);
        if (u->error)
            dcv_free(u->error[i]);
    }
    dcv_free(u->item);
    dcv_free(u->error);
    dcv_free(u);
}

/* NaN or infinity in float input is the item's failure: what a network makes of it is no answer, and differs between
 * back ends (a fused ReLU may turn NaN into 0). */
static dcv_status check_finite(const dcv_dataset *d, int64_t i, const dcv_item *it)
{
    const int64_t n = dcv_count(&it->dims);
    for (int64_t k = 0; k < n; k++)
        if (!isfinite(it->input[k]))
            return dcv_fail(DCV_EDATA, "%s: %s at element %lld of its input", dcv_dataset_item_name(d, i),
                            isnan(it->input[k]) ? "NaN" : "infinity", (long long)k);
    return DCV_OK;
}

static dcv_status read_item(const dcv_dataset *d, int64_t item, dcv_item *to)
{
    DCV_TRY(dcv_dataset_read(d, item, DCV_READ_INPUT, to));
    return d->is_float ? check_finite(d, item, to) : DCV_OK;
}

dcv_status dcv_network_item(const dcv_network *net, int64_t item, dcv_item *to)
{
    return read_item(net->dataset, item, to);
}

static dcv_status make_item(const dcv_network *net, int64_t item, dcv_item *to)
{
    const dcv_network_options *o = options_of(net);
    for (int k = 0; k < net->n_in; k++) {
        to[k] =
            (dcv_item){.dims = net->dims[k], .input = dcv_alloc((size_t)dcv_count(&net->dims[k]), sizeof *to[k].input)};
        if (!to[k].input)
            return DCV_ENOMEM;
        o->make(o->ctx, net, item, k, to[k].input);
    }
    return DCV_OK;
}

/* All inputs of an item. */
static dcv_status get_item(const dcv_network *net, int64_t item, dcv_item *to)
{
    if (!net->dataset)
        return make_item(net, item, to);
    DCV_TRY(read_item(net->dataset, item, to));
    for (int k = 1; k < net->n_in; k++)
        DCV_TRY(read_item(net->more[k - 1], item, to + k));
    return DCV_OK;
}

/* Items [from, to) of a unit.  What fails is kept as that item's message. */
static dcv_status read_items(const dcv_network *net, unit_input *u, int from, int to)
{
    for (int i = from; i < to; i++) {
        const dcv_status st = get_item(net, u->first + i, item_at(u, i));
        if (st == DCV_OK)
            continue;
        if (st != DCV_EDATA) /* want of memory is no fault of the item */
            return st;
        u->error[i] = dcv_strdup(dcv_message());
        if (!u->error[i])
            return DCV_ENOMEM;
        if (net->config->dataset.on_error == DCV_FAIL)
            return dcv_fail(DCV_EDATA, "%s", u->error[i]);
    }
    return DCV_OK;
}

static dcv_status fill_unit(const dcv_network *net, int64_t unit, unit_input *u)
{
    u->first = unit / net->parts * net->unit_items;
    u->row = unit % net->parts == 0;
    u->n = (int)dcv_network_unit_items(net, unit);
    u->n_in = net->n_in;
    u->item = dcv_alloc((size_t)u->n * (size_t)u->n_in, sizeof *u->item);
    u->error = dcv_alloc((size_t)u->n, sizeof *u->error);
    if (!u->item || !u->error)
        return DCV_ENOMEM;
    u->read = net->whole_units;
    return u->read ? read_items(net, u, 0, u->n) : DCV_OK;
}

dcv_status dcv_network_read(dcv_network *net, int64_t unit, void **input)
{
    *input = NULL;
    unit_input *u = dcv_alloc(1, sizeof *u);
    const dcv_status st = u ? fill_unit(net, unit, u) : DCV_ENOMEM;
    if (st == DCV_OK)
        *input = u;
    else
        dcv_network_drop(u);
    return st;
}

/* --- Views ------------------------------------------------------------------------ */

static dcv_status view_walk(dcv_network *net, const dcv_dims *dims, dcv_view *v)
{
    v->dims = *dims;
    if (dcv_dims_equal(dims, &net->walked->value[net->walked->in[0]].dims)) {
        v->graph = net->walked;
        v->engine = net->engine;
        return dcv_walk_new(v->engine, &v->walk);
    }
    DCV_TRY(graph_for(net, dims, &v->graph));
    DCV_TRY(compile(net, v->graph, &v->engine));
    DCV_TRY(dcv_engine_pack_own(v->engine));
    return dcv_walk_new(v->engine, &v->walk);
}

static dcv_status view_new(dcv_network *net, const dcv_dims *dims, dcv_view *v)
{
    const dcv_network_options *o = options_of(net);
    DCV_TRY(view_walk(net, dims, v));
    return o->open_view ? o->open_view(o->ctx, v) : DCV_OK;
}

dcv_status dcv_network_view_bytes(const dcv_network *net, const dcv_dims *dims, int64_t *bytes)
{
    dcv_graph *g = NULL;
    dcv_engine *e = NULL;
    *bytes = 0;
    dcv_status st = graph_for(net, dims, &g);
    if (st == DCV_OK)
        st = compile(net, g, &e);
    if (st == DCV_OK)
        *bytes = (int64_t)(dcv_walk_bytes(e) + dcv_engine_packed_bytes(e));
    dcv_engine_free(e);
    dcv_graph_free(g);
    return st;
}

/* The view becomes the first of the thread's list, the last may have to go. */
dcv_status dcv_network_view(dcv_network *net, int thread, const dcv_dims *dims, dcv_view **out)
{
    const own_part *own = net->own;
    thread_views *t = &own->thread[thread];
    const int most = own->options.one_view ? 1 : VIEWS;
    int at = 0;
    dcv_view v = {0};
    while (at < t->n && !dcv_dims_equal(&t->view[at].dims, dims))
        at++;
    if (at < t->n) {
        v = t->view[at];
    } else {
        if (t->n == most)
            view_free(net, &t->view[--t->n]);
        const dcv_status st = view_new(net, dims, &v);
        if (st != DCV_OK) {
            view_free(net, &v);
            return st;
        }
        at = t->n++;
    }
    memmove(&t->view[1], &t->view[0], (size_t)at * sizeof v);
    t->view[0] = v;
    *out = &t->view[0];
    return DCV_OK;
}

/* --- Computing a unit ------------------------------------------------------------- */

dcv_status dcv_network_put_row(const dcv_network *net, const dcv_item *it, int64_t item, dcv_result *r)
{
    const uint8_t status = it ? 1 : 2;
    const int32_t width = it ? (int32_t)it->width : -1, height = it ? (int32_t)it->height : -1;
    DCV_TRY(dcv_result_put(r, net->id_width, item, 1, &width));
    DCV_TRY(dcv_result_put(r, net->id_height, item, 1, &height));
    if (net->id_extent >= 0) {
        const int32_t extent[2] = {it ? (int32_t)it->dims.d[2] : -1, it ? (int32_t)it->dims.d[3] : -1};
        DCV_TRY(dcv_result_put(r, net->id_extent, 2 * item, 2, extent));
    }
    return dcv_result_put(r, net->id_status, item, 1, &status);
}

/* Items that are made have no rows. */
static dcv_status put_row(const dcv_network *net, const dcv_item *it, int64_t item, dcv_result *r)
{
    return net->dataset ? dcv_network_put_row(net, it, item, r) : DCV_OK;
}

static dcv_status fail_item(const dcv_network *net, const unit_input *u, int i, const dcv_unit_actions *a,
                            dcv_result *r)
{
    if (u->row)
        DCV_TRY(put_row(net, NULL, u->first + i, r));
    DCV_TRY(dcv_result_fail_item(r, u->first + i, u->error[i]));
    return a->failed ? a->failed(a->ctx, u->first + i, r) : DCV_OK;
}

dcv_status dcv_network_fail_unit(const dcv_network *net, int64_t unit, const char *message, const dcv_unit_actions *a,
                                 dcv_result *r)
{
    const int64_t first = unit / net->parts * net->unit_items, n = dcv_network_unit_items(net, unit);
    for (int64_t i = first; i < first + n; i++) {
        if (unit % net->parts == 0)
            DCV_TRY(put_row(net, NULL, i, r));
        DCV_TRY(dcv_result_fail_item(r, i, message));
        if (a->failed)
            DCV_TRY(a->failed(a->ctx, i, r));
    }
    return DCV_OK;
}

/* Items of the next group: readable, of one size, no more than most, none beyond to.  Returns where it ends. */
static int next_group(const unit_input *u, int from, int to, int most, int *at, int *n)
{
    int i = from;
    for (*n = 0; i < to && *n < most; i++) {
        if (u->error[i])
            continue;
        if (*n > 0 && !dcv_dims_equal(&item_at(u, i)->dims, &item_at(u, at[0])->dims))
            break;
        at[(*n)++] = i;
    }
    return i;
}

const char *dcv_network_message(const dcv_network *net)
{
    const size_t n = strlen(net->model->file);
    const char *message = dcv_message();
    return strncmp(message, net->model->file, n) == 0 && strncmp(message + n, ": ", 2) == 0 ? message + n + 2 : message;
}

static const char *item_name(const dcv_network *net, int64_t item)
{
    return net->dataset ? dcv_dataset_item_name(net->dataset, item) : "latent";
}

/* A size that the network cannot take (a picture too small for its pools) is the failure of the items that have it. */
static dcv_status refuse_group(const dcv_network *net, unit_input *u, const int *at, int n)
{
    for (int k = 0; k < n; k++) {
        u->error[at[k]] = dcv_format("%s: %s", item_name(net, u->first + at[k]), dcv_network_message(net));
        if (!u->error[at[k]])
            return DCV_ENOMEM;
    }
    return DCV_OK;
}

/* The last message is why an item fails. */
static dcv_status refuse_item(unit_input *u, int i)
{
    u->error[i] = dcv_strdup(dcv_message());
    return u->error[i] ? DCV_OK : DCV_ENOMEM;
}

/* The inputs of a group, as a walk takes them. */
typedef struct walk_input {
    const float **picture;         /* [n_in][n] */
    const float *const **of_input; /* [n_in] */
} walk_input;

static void walk_input_clear(walk_input *w)
{
    dcv_free(w->picture);
    dcv_free(w->of_input);
}

static dcv_status walk_input_new(const unit_input *u, const int *at, int n, walk_input *w)
{
    const size_t n_in = (size_t)u->n_in;
    w->picture = dcv_alloc(n_in * (size_t)n, sizeof *w->picture);
    w->of_input = dcv_alloc(n_in, sizeof *w->of_input);
    if (!w->picture || !w->of_input) {
        walk_input_clear(w);
        return DCV_ENOMEM;
    }
    for (int k = 0; k < u->n_in; k++) {
        w->of_input[k] = w->picture + (int64_t)k * n;
        for (int i = 0; i < n; i++)
            w->picture[(int64_t)k * n + i] = item_at(u, at[i])[k].input;
    }
    return DCV_OK;
}

static dcv_status walk_items(dcv_network *net, dcv_view *view, unit_input *u, const int *at, const int64_t *item, int n,
                             const walk_input *in, const dcv_unit_actions *a, dcv_result *r)
{
    if (a->group)
        DCV_TRY(a->group(a->ctx, view, item, n));
    if (!a->knows || n > 1 || !a->knows(a->ctx, view, item[0]))
        dcv_walk_forward(view->walk, n, in->of_input, a->see, a->ctx);
    if (a->walked)
        DCV_TRY(a->walked(a->ctx, view, item, n, in->picture, r));
    for (int k = 0; k < n; k++) {
        const dcv_status done = a->done ? a->done(a->ctx, view, item[k], k, r) : DCV_OK;
        if (done == DCV_EDATA && net->config->dataset.on_error == DCV_SKIP)
            DCV_TRY(refuse_item(u, at[k]));
        else
            DCV_TRY(done);
        if (done == DCV_OK && u->row)
            DCV_TRY(put_row(net, item_at(u, at[k]), item[k], r));
        clear_item(u, at[k]);
    }
    return DCV_OK;
}

/* Offer an item to the job. */
static dcv_status offer(const dcv_network *net, unit_input *u, int i, const dcv_unit_actions *a, bool *taken,
                        dcv_result *r)
{
    const dcv_status st = a->alone(a->ctx, item_at(u, i), u->first + i, taken, r);
    if (st == DCV_EDATA && net->config->dataset.on_error == DCV_SKIP) {
        *taken = true;
        return refuse_item(u, i);
    }
    if (st == DCV_OK && *taken && u->row)
        DCV_TRY(put_row(net, item_at(u, i), u->first + i, r));
    if (*taken)
        clear_item(u, i);
    return st;
}

static dcv_status walk_group(dcv_network *net, int thread, unit_input *u, const int *at, int n,
                             const dcv_unit_actions *a, dcv_result *r)
{
    dcv_view *view;
    walk_input in;
    int64_t item[DCV_GROUP];
    const dcv_status st = dcv_network_view(net, thread, &item_at(u, at[0])->dims, &view);
    if (st == DCV_EDATA && net->config->dataset.on_error == DCV_SKIP)
        return refuse_group(net, u, at, n);
    if (st == DCV_EDATA)
        return dcv_fail_in(st, "%s", item_name(net, u->first + at[0]));
    DCV_TRY(st);
    DCV_TRY(walk_input_new(u, at, n, &in));
    for (int k = 0; k < n; k++)
        item[k] = u->first + at[k];
    const dcv_status walked = walk_items(net, view, u, at, item, n, &in, a, r);
    walk_input_clear(&in);
    return walked;
}

static dcv_status compute_unit(dcv_network *net, int thread, unit_input *u, const dcv_unit_actions *a, dcv_result *r)
{
    for (int from = 0; from < u->n;) {
        int at[DCV_GROUP], n, to = u->n;
        if (!u->read) {
            to = from + DCV_GROUP < u->n ? from + DCV_GROUP : u->n;
            DCV_TRY(read_items(net, u, from, to));
        }
        for (int i = from; i < to;) {
            const int end = next_group(u, i, to, net->group, at, &n);
            bool taken = false;
            if (n == 1 && a->alone)
                DCV_TRY(offer(net, u, at[0], a, &taken, r));
            if (n > 0 && !taken)
                DCV_TRY(walk_group(net, thread, u, at, n, a, r));
            for (; i < end; i++)
                if (u->error[i])
                    DCV_TRY(fail_item(net, u, i, a, r));
        }
        from = to;
    }
    return DCV_OK;
}

dcv_status dcv_network_unit(dcv_network *net, int64_t unit, int thread, void *input, const dcv_unit_actions *a,
                            dcv_result *r)
{
    unit_input *u = input;
    (void)unit;
    const dcv_status st = compute_unit(net, thread, u, a, r);
    dcv_network_drop(u);
    return st;
}

/* --- A kind's call-backs ---------------------------------------------------------- */

static const dcv_network *net_of(const dcv_job *job)
{
    return &((const dcv_network_job *)job)->net;
}

dcv_status dcv_network_job_phase(dcv_job *job, int p, dcv_phase *out)
{
    (void)p;
    *out =
        (dcv_phase){.name = job->kind->section.job, .n_units = dcv_network_units(net_of(job)), .n_items = job->n_items};
    return DCV_OK;
}

int64_t dcv_network_job_items(const dcv_job *job, int p, int64_t unit)
{
    (void)p;
    return unit % net_of(job)->parts ? 0 : dcv_network_unit_items(net_of(job), unit); /* a picture counts once */
}

/* How many items of the largest size have as many cells as a unit's. */
static double largest_items(const dcv_network *net, int64_t unit)
{
    const int64_t first = unit / net->parts * net->unit_items, n = dcv_network_unit_items(net, unit);
    if (!net->dataset || net->dataset->fixed)
        return (double)n;
    double sum = 0;
    for (int64_t i = first; i < first + n; i++) {
        int64_t h, w;
        dcv_dataset_extent(net->dataset, i, &h, &w); /* 0 for what could not be read */
        sum += (double)h * (double)w / ((double)net->dataset->max_h * (double)net->dataset->max_w);
    }
    return sum;
}

double dcv_network_job_gflop(const dcv_job *job, int p, int64_t unit)
{
    (void)p;
    const dcv_network *net = net_of(job);
    return net->item_gflop / (double)net->parts * largest_items(net, unit);
}

dcv_status dcv_network_job_read(dcv_job *job, int p, int64_t unit, void **input)
{
    (void)p;
    return dcv_network_read(&((dcv_network_job *)job)->net, unit, input);
}

void dcv_network_job_drop(dcv_job *job, void *input)
{
    (void)job;
    dcv_network_drop(input);
}

dcv_status dcv_network_job_open(dcv_network_job *job, const dcv_job_kind *kind, const dcv_config *c,
                                const dcv_network_options *o, dcv_share *share, int threads)
{
    job->base.kind = kind;
    job->base.config = c;
    job->base.n_phases = 1;
    DCV_TRY(dcv_network_open(&job->net, c, o, share, threads));
    dcv_network_describe(&job->net, &job->base);
    return DCV_OK;
}

dcv_status dcv_network_job_fits(dcv_network_job *job, double more_bytes, const char *what, const char *less)
{
    const int threads = job->net.threads;
    const double need = ((double)job->base.thread_bytes + more_bytes) * threads;
    const int64_t limit = job->net.config->runtime.memory;
    if (need > (double)limit)
        return dcv_config_fail(job->net.config, "runtime.memory",
                               "%s on each of %d threads need %.1f MiB and runtime.memory is %.1f MiB; raise it, use "
                               "fewer threads%s",
                               what, threads, need / 1048576, (double)limit / 1048576, less);
    job->base.thread_bytes += (int64_t)more_bytes;
    return DCV_OK;
}

dcv_dims dcv_item_dims(const dcv_value *v)
{
    dcv_dims d = v->dims;
    if (d.n > 0 && v->batched && d.d[0] == 1) {
        d.n--;
        memmove(d.d, d.d + 1, sizeof d.d[0] * (size_t)d.n);
    }
    return d;
}

char *dcv_result_name(const char *value)
{
    char *name = dcv_strdup(value);
    for (char *p = name; p && *p; p++)
        if (*p == '/')
            *p = '.';
    return name;
}

/* As results spell them. */
static int by_result_name(const void *x, const void *y)
{
    const char *a = *(const char *const *)x, *b = *(const char *const *)y;
    for (;; a++, b++) {
        const char p = *a == '/' ? '.' : *a, q = *b == '/' ? '.' : *b;
        if (p != q || !p)
            return (p > q) - (p < q);
    }
}

dcv_status dcv_result_names_check(const dcv_config *c, const char *key, const char *const *value, int n)
{
    const char **sorted = dcv_alloc((size_t)n + 1, sizeof *sorted);
    dcv_status st = sorted ? DCV_OK : DCV_ENOMEM;
    if (sorted && n > 0) {
        memcpy(sorted, value, (size_t)n * sizeof *sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, by_result_name);
    }
    for (int i = 1; st == DCV_OK && i < n; i++)
        if (by_result_name(&sorted[i - 1], &sorted[i]) == 0)
            st = dcv_config_fail(c, key, "\"%s\" and \"%s\" would have the same name in the result; list one of them",
                                 sorted[i - 1], sorted[i]);
    dcv_free(sorted);
    return st;
}
