/* Configurations: merging, checking, resolving, places; with a sample of job sections in every form that jobs use. */
#include "check.h"
#include <unistd.h>
#include "deconvoy/config.h"
#include "deconvoy/log.h"

typedef struct search {
    dcv_names layers, targets;
    dcv_ints channels;
    int64_t top;
    int rank_by;
    bool patches;
} search;
static const dcv_field search_fields[] = {
    {.key = "layers", .type = DCV_FIELD_NAMES, .offset = DCV_AT(search, layers), .dflt = "all", .words = "all"},
    {.key = "channels",
     .type = DCV_FIELD_INTS,
     .offset = DCV_AT(search, channels),
     .dflt = "all",
     .words = "all",
     .min = 0,
     .max = DCV_NO_LIMIT},
    {.key = "targets", .type = DCV_FIELD_NAMES, .offset = DCV_AT(search, targets), .dflt = "[top1]"},
    {.key = "top",
     .type = DCV_FIELD_INT,
     .offset = DCV_AT(search, top),
     .dflt = "9",
     .min = 1,
     .max = 1000,
     .help = "places"},
    {.key = "rank_by", .type = DCV_FIELD_WORD, .offset = DCV_AT(search, rank_by), .dflt = "max", .words = "max|mean"},
    {.key = "patches", .type = DCV_FIELD_BOOL, .offset = DCV_AT(search, patches), .dflt = "true"},
    DCV_FIELDS_END,
};

typedef struct latent {
    int64_t count, seed;
    int distribution;
    dcv_pairs inputs;
} latent;
static const dcv_field latent_fields[] = {
    {.key = "count", .type = DCV_FIELD_INT, .offset = DCV_AT(latent, count), .required = true, .min = 1},
    {.key = "distribution",
     .type = DCV_FIELD_WORD,
     .offset = DCV_AT(latent, distribution),
     .dflt = "normal",
     .words = "normal|uniform|one_hot"},
    {.key = "seed", .type = DCV_FIELD_INT, .offset = DCV_AT(latent, seed), .dflt = "1", .min = 0, .max = DCV_NO_LIMIT},
    {.key = "inputs", .type = DCV_FIELD_PAIRS, .offset = DCV_AT(latent, inputs)},
    DCV_FIELDS_END,
};

typedef struct psf {
    int kind;
    double fwhm;
    dcv_ints centre, size;
} psf;
static const dcv_field psf_fields[] = {
    {.key = "kind",
     .type = DCV_FIELD_WORD,
     .offset = DCV_AT(psf, kind),
     .required = true,
     .words = "gaussian|moffat|file"},
    {.key = "fwhm", .type = DCV_FIELD_REAL, .offset = DCV_AT(psf, fwhm), .above_min = true, .unit = "px"},
    {.key = "centre",
     .type = DCV_FIELD_INTS,
     .offset = DCV_AT(psf, centre),
     .dflt = "floor",
     .words = "floor|max|centroid",
     .form = DCV_FORM_LIST,
     .n_min = 1,
     .n_max = 3},
    {.key = "size", .type = DCV_FIELD_INTS, .offset = DCV_AT(psf, size), .form = DCV_FORM_LIST, .n_min = 1, .n_max = 3},
    DCV_FIELDS_END,
};

typedef struct stop {
    int rule;
    double tolerance;
} stop;
static const dcv_field stop_fields[] = {
    {.key = "rule",
     .type = DCV_FIELD_WORD,
     .offset = DCV_AT(stop, rule),
     .dflt = "thinning",
     .words = "iterations|thinning|discrepancy|change"},
    {.key = "tolerance",
     .type = DCV_FIELD_REAL,
     .offset = DCV_AT(stop, tolerance),
     .dflt = "1.0e-3",
     .above_min = true},
    DCV_FIELDS_END,
};

typedef struct mixed {
    char *input;
    int boundary;
    latent latent;
    bool latent_given;
    psf psf;
    stop stop;
    dcv_reals regularisation, spacing;
    int64_t iterations;
    double checkpoint_every;
} mixed;
static const dcv_field mixed_fields[] = {
    {.key = "input", .type = DCV_FIELD_PATH, .offset = DCV_AT(mixed, input), .required = true},
    {.key = "latent",
     .type = DCV_FIELD_SECTION,
     .offset = DCV_AT(mixed, latent),
     .fields = latent_fields,
     .given = 1 + DCV_AT(mixed, latent_given)},
    {.key = "psf", .type = DCV_FIELD_SECTION, .offset = DCV_AT(mixed, psf), .fields = psf_fields, .required = true},
    {.key = "stop", .type = DCV_FIELD_SECTION, .offset = DCV_AT(mixed, stop), .fields = stop_fields},
    {.key = "regularisation",
     .type = DCV_FIELD_REALS,
     .offset = DCV_AT(mixed, regularisation),
     .dflt = "auto",
     .words = "auto",
     .form = DCV_FORM_ONE},
    {.key = "spacing", .type = DCV_FIELD_REALS, .offset = DCV_AT(mixed, spacing)},
    {.key = "boundary", .type = DCV_FIELD_WORD, .offset = DCV_AT(mixed, boundary), .words = "unknown|reflect"},
    {.key = "iterations", .type = DCV_FIELD_INT, .offset = DCV_AT(mixed, iterations), .min = 1},
    {.key = "checkpoint_every",
     .type = DCV_FIELD_REAL,
     .offset = DCV_AT(mixed, checkpoint_every),
     .dflt = "600",
     .unit = "s",
     .volatile_ = true},
    DCV_FIELDS_END,
};

static dcv_status resolve_mixed(dcv_config *c)
{
    mixed *m = c->job;
    if (m->boundary < 0)
        m->boundary = 1;
    return m->iterations == 7 ? dcv_config_fail(c, "mixed.iterations", "mixed.iterations is 7; expected another")
                              : DCV_OK;
}

static const dcv_section sections[] = {
    {.job = "search",
     .help = "look for places",
     .fields = search_fields,
     .size = sizeof(search),
     .needs_model = true,
     .needs_dataset = true},
    {.job = "mixed", .help = "all forms", .fields = mixed_fields, .size = sizeof(mixed), .resolve = resolve_mixed},
};

static char folder[] = "/tmp/dcv_config_XXXXXX", file[64];

static dcv_status read_sets(const char *text, const char *const *sets, int n, dcv_config **out)
{
    FILE *f = fopen(file, "w");
    CHECK(f && fputs(text, f) >= 0 && !fclose(f));
    return dcv_config_read(file, sets, n, sections, 2, out);
}

static dcv_status read_text(const char *text, dcv_config **out)
{
    return read_sets(text, NULL, 0, out);
}

#define BASE  "job: search\noutput: out.h5\nmodel: {file: m.onnx}\ndataset: {source: photos}\n"
#define MIXED "job: mixed\noutput: out.h5\n"

static void test_defaults(void)
{
    dcv_config *c;
    CHECK_OK(read_text(BASE, &c));
    if (!c)
        return;
    const search *s = c->job;
    const dcv_preprocess *p = &c->dataset.preprocess;
    CHECK(!strcmp(c->name, "search") && c->section == &sections[0] && !strcmp(c->output, "out.h5"));
    CHECK(s->top == 9 && s->layers.word == 0 && s->targets.n == 1 && s->patches);
    CHECK(!strcmp(c->model.file, "m.onnx") && !c->model.labels && c->model.input_shape.n == 0 &&
          c->model.precision == DCV_FAST);
    CHECK(!strcmp(c->dataset.labels, "none") && c->dataset.limit == -1 && c->dataset.slice.n == 0 && !c->dataset.path);
    CHECK(!p->written && !p->scale_written && p->resize.n == 0 && p->mean.n == 0 && p->crop_at.word == 0);
    CHECK_NEAR(p->scale, 1. / 255, 1e-17);
    CHECK(c->runtime.threads == 1 && c->runtime.memory == 2147483648 && !c->runtime.memory_written &&
          c->runtime.unit_seconds == 1);
    CHECK(c->slurm.nodes == 4 && !strcmp(c->slurm.time, "04:00:00") && c->slurm.extra.n == 0 && !*c->slurm.constraint);
    char want[128];
    snprintf(want, sizeof want, "%s/photos", folder);
    CHECK(!strcmp(dcv_config_path(c, c->dataset.source), want) && !strcmp(dcv_config_path(c, "/x"), "/x") &&
          !dcv_config_path(c, NULL));
    CHECK(dcv_config_given(c, "model.file") && !dcv_config_given(c, "model.labels") &&
          !dcv_config_given(c, "search.top"));
    static const char *const text =
        "job: search\nmodel:\n  file: m.onnx\n  precision: fast\ndataset:\n  source: photos\n  labels: none\n"
        "  offset: 0\n  limit: all\n  on_error: skip\n  preprocess:\n    preset: none\n    resize: none\n"
        "    crop: none\n    crop_at: centre\n    scale: 0.00392156862745098\n    mean: none\n    std: none\n"
        "    channels: rgb\n    interpolation: bilinear\nsearch:\n  layers: all\n  channels: all\n"
        "  targets: [top1]\n  top: 9\n  rank_by: max\n  patches: true\n";
    CHECK(!strcmp(c->text, text));
    if (strcmp(c->text, text))
        fprintf(stderr, "%s", c->text);
    dcv_config_free(c);
}

static void test_presets(void)
{
    dcv_config *c;
    CHECK_OK(read_text("job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p, preprocess: {preset: imagenet, "
                       "crop: [200, 100], std: none}}\n",
                       &c));
    const dcv_preprocess *p = &c->dataset.preprocess;
    CHECK(p->resize.n == 1 && p->resize.scalar && p->resize.v[0] == 256 && p->crop.n == 2 && p->crop.v[1] == 100 &&
          p->crop_written);
    CHECK(p->mean.n == 3 && p->mean.v[0] == 0.485 && p->std.n == 0 && p->written && !p->resize_written &&
          p->channels == DCV_RGB);
    dcv_config_free(c);
    CHECK_OK(
        read_text("job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p, preprocess: {preset: caffe}}\n", &c));
    p = &c->dataset.preprocess;
    CHECK(p->scale == 1 && p->channels == DCV_BGR && p->mean.v[2] == 123 && p->std.n == 0 && p->resize.n == 0 &&
          !p->scale_written);
    dcv_config_free(c);
    dcv_arena *a;
    dcv_preprocess q;
    CHECK_OK(dcv_arena_new(&a));
    CHECK_OK(dcv_preprocess_read((const char *const[]){"preset=imagenet", "resize=[64, 32]"}, 2, &q, a));
    CHECK(q.written && q.resize.n == 2 && q.resize_written && q.crop.v[0] == 224 && q.std.n == 3);
    CHECK_OK(dcv_preprocess_read(NULL, 0, &q, a));
    CHECK(!q.written);
    CHECK_FAILS(dcv_preprocess_read((const char *const[]){"resise=4"}, 1, &q, a), DCV_ECONFIG,
                "--preprocess resise=4: unknown key 'resise'");
    CHECK_FAILS(dcv_preprocess_read((const char *const[]){"resize"}, 1, &q, a), DCV_EUSAGE,
                "--preprocess resize: no '='");
    dcv_arena_free(a);
}

/* Places, words and codes of everything that can be wrong. */
static void test_refused(void)
{
    static const struct {
        const char *text, *place, *says;
    } cases[] = {
        {"", "1:1", "job is missing; expected search or mixed"},
        {"output: x\n", "1:1", "job is missing"},
        {"- a\n", "1:1", "a list; expected a mapping"},
        {"job: serach\n", "1:6", "unknown job 'serach'; expected search or mixed; nearest: search"},
        {"job: [search]\n", "1:6", "job is a list of 1; expected a text"},
        {"job: search\nmodel: {file: m}\ndataset: {source: p}\n", "1:1", "output is missing"},
        {"job: search\noutput: o\nmodel:\n  labels: x\ndataset: {source: p}\n", "3:1", "model.file is missing"},
        {"job: search\noutput: o\nmodel: {file: m}\n\ndataset:\n", "5:1", "dataset.source is missing"},
        {"job: search\noutput: o\n", "1:1", "model.file is missing"},
        {BASE "modle: {}\n", "5:1",
         "unknown key 'modle'; expected job, output, model, dataset, runtime, slurm or search; nearest: model"},
        {BASE "search:\n  tops: 3\n", "6:3",
         "unknown key 'tops' in search; expected layers, channels, targets, top, rank_by or patches; nearest: top"},
        {BASE "search:\n  top: nine\n", "6:8", "search.top is the text 'nine'; expected a whole number from 1 to 1000"},
        {BASE "search:\n  top: \"5\"\n", "6:8", "search.top is the text '5'"},
        {BASE "search:\n  top: true\n", "6:8", "search.top is true"},
        {BASE "search: {patches: 1}\n", "5:19", "search.patches is 1; expected true or false"},
        {BASE "search:\n  rank_by: mea\n", "6:12",
         "search.rank_by is the text 'mea'; expected max or mean; nearest: mean"},
        {BASE "search: [1]\n", "5:9", "search is a list of 1; expected a mapping"},
        {BASE "runtime: {threads: 0}\n", "5:20", "runtime.threads is 0; expected a whole number from 1 to 1024"},
        {BASE "runtime: {memory: 2 Gib}\n", "5:19", "runtime.memory is the text '2 Gib'; expected a size such as"},
        {BASE "runtime: {wait: -1}\n", "5:17", "runtime.wait is -1; expected a number of at least 0"},
        {BASE "runtime: {unit_seconds: .nan}\n", "5:25", "runtime.unit_seconds is .nan"},
        {BASE "slurm: {launcher: mpirnu}\n", "5:19",
         "slurm.launcher knows no 'mpirnu'; expected mpirun or srun; nearest: mpirun"},
        {BASE "output: y\n", "5:1", "duplicate key 'output'"},
        {"job: search\noutput: o\nmodel: {file: m, input_shape: 3}\ndataset: {source: p}\n", "3:31",
         "model.input_shape is 3; expected a list of 1 to 7 whole numbers"},
        {"job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p, slice: [8, 8]}\n", "4:29",
         "dataset.slice is part 8 of 8"},
        {"job: search\noutput: o\nmodel: {file: m}\ndataset:\n  source: p\n  preprocess:\n    scael: 1\n", "7:5",
         "unknown key 'scael' in dataset.preprocess"},
        {"job: search\noutput: o\nmodel: {file: m}\ndataset:\n  source: p\n  preprocess:\n    crop:\n      - 1\n      "
         "- 0\n",
         "9:9", "dataset.preprocess.crop: an element is 0"},
        {"job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p, limit: 0}\n", "4:29",
         "dataset.limit is 0; expected all or a whole number of at least 1"},
        {MIXED "mixed: {input: a}\n", "3:1", "mixed.psf is missing"},
        {MIXED "mixed:\n  input: a\n  psf:\n    fwhm: 1\n", "5:3",
         "mixed.psf.kind is missing; expected gaussian, moffat or file"},
        {MIXED "mixed:\n  psf: {kind: gaussian}\n", "3:1", "mixed.input is missing"},
        {MIXED, "1:1", "mixed.input is missing"},
        {MIXED "mixed: {input: a, psf: {kind: file}, latent: }\n", "3:38", "mixed.latent.count is missing"},
        {MIXED "mixed: {input: a, psf: {kind: file}, latent: {inputs: {z: [1]}}}\n", "3:59", "mixed.latent.inputs"},
        {MIXED "mixed: {input: a, psf: {kind: file}, iterations: 7}\n", "3:50", "mixed.iterations is 7"},
        {MIXED "mixed: {input: 1.5, psf: {kind: file}}\n", "3:16", "mixed.input is 1.5; expected a path"},
        {MIXED "mixed:\n\tinput: 1\n", "4:1", "not YAML"},
    };
    dcv_config *c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[512];
        snprintf(want, sizeof want, "%s:%s: %s", file, cases[i].place, cases[i].says);
        CHECK_FAILS(read_text(cases[i].text, &c), DCV_ECONFIG, want);
        CHECK(!c);
    }
    CHECK_FAILS(dcv_config_read("/nonexistent.yaml", NULL, 0, sections, 2, &c), DCV_ENOINPUT,
                "/nonexistent.yaml: No such file");
}

static void test_sets(void)
{
    static const char *const good[] = {"search.top=3",
                                       "search.layers=[a, b]",
                                       "model.labels=none",
                                       "dataset.preprocess={preset: caffe}",
                                       "dataset.preprocess.crop=8",
                                       "dataset.limit=all",
                                       "runtime.memory=1GiB",
                                       "slurm.constraint=\"\"",
                                       "dataset.inputs.z=/latent"};
    dcv_config *c;
    CHECK_OK(read_sets(BASE "search: {layers: [x, y, z], top: 5}\n", good, 9, &c));
    const search *s = c->job;
    CHECK(s->top == 3 && s->layers.n == 2 && !strcmp(s->layers.v[1], "b") && !c->model.labels &&
          c->runtime.memory_written);
    CHECK(c->dataset.preprocess.crop.v[0] == 8 && c->dataset.preprocess.channels == DCV_BGR &&
          !strcmp(c->model.file, "m.onnx"));
    CHECK(c->dataset.inputs.n == 1 && !strcmp(c->dataset.inputs.value[0], "/latent"));
    char want[128];
    snprintf(want, sizeof want, "--set search.top=3: no");
    CHECK_FAILS(dcv_config_fail(c, "search.top", "no"), DCV_ECONFIG, want);
    dcv_config_free(c);
    static const struct {
        const char *set;
        dcv_status code;
        const char *says;
    } bad[] = {
        {"search.top", DCV_EUSAGE, "--set search.top: no '='; expected --set key.path=VALUE"},
        {"search..top=1", DCV_EUSAGE, "--set search..top=1: an empty key"},
        {"=1", DCV_EUSAGE, "an empty key"},
        {"search.=1", DCV_EUSAGE, "an empty key"},
        {"search.top=0", DCV_ECONFIG, "--set search.top=0: search.top is 0; expected a whole number from 1 to 1000"},
        {"search.tpo=1", DCV_ECONFIG, "--set search.tpo=1: unknown key 'tpo' in search; expected"},
        {"serach.top=1", DCV_ECONFIG, "--set serach.top=1: unknown key 'serach'; expected"},
        {"search.top=", DCV_ECONFIG, "--set search.top=: search.top is without a value"},
        {"search.top=[", DCV_ECONFIG, "--set search.top=[: not YAML"},
        {"search.top=*x", DCV_ECONFIG, "--set search.top=*x: alias *x"},
        {"model.file.x=1", DCV_ECONFIG, "--set model.file.x=1: file has a value; expected a section there"},
        {"job=mixxed", DCV_ECONFIG, "--set job=mixxed: unknown job 'mixxed'"},
        {"job=mixed", DCV_ECONFIG, "mixed.input is missing"},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1", DCV_ECONFIG, "more than 16 levels"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(read_sets(BASE, &bad[i].set, 1, &c), bad[i].code, bad[i].says);
}

static void test_places(void)
{
    dcv_config *c;
    char want[128];
    static const struct {
        const char *key, *place;
    } cases[] = {
        {"search.layers[1]", "7:7"}, {"search.layers", "5:3"}, {"search.layers[9]", "5:3"}, {"search.top", "8:8"},
        {"search.rank_by", "4:1"},   {"search", "4:1"},        {"model.file", "1:1"},       {"", "1:1"}};
    CHECK_OK(read_sets("job: search\noutput: o\ndataset: {source: p}\nsearch:\n  layers:\n    - a\n    - b\n  top: 4\n",
                       (const char *const[]){"model={file: m}"}, 1, &c));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!strcmp(cases[i].key, "model.file"))
            snprintf(want, sizeof want, "--set model={file: m}: text 5");
        else
            snprintf(want, sizeof want, "%s:%s: text 5", file, cases[i].place);
        CHECK_FAILS(dcv_config_fail(c, cases[i].key, "text %d", 5), DCV_ECONFIG, want);
    }
    dcv_config_free(c);
}

/* The text, read again, gives the same text. */
static void check_stable(const char *text)
{
    dcv_config *c, *again;
    CHECK_OK(read_text(text, &c));
    if (!c)
        return;
    char *copy = dcv_format("output: o\n%s", c->text);
    CHECK_OK(read_text(copy, &again));
    CHECK(again && !strcmp(c->text, again->text));
    if (again && strcmp(c->text, again->text))
        fprintf(stderr, "--- first\n%s--- again\n%s", c->text, again->text);
    dcv_free(copy);
    dcv_config_free(c);
    dcv_config_free(again);
}

static void test_text(void)
{
    check_stable(BASE);
    check_stable(BASE
                 "search: {layers: [all, 'no', \"1.5\", 17, 'it''s', \"a\\tb\"], channels: [1, 2], targets: label}\n");
    check_stable("job: search\noutput: o\nmodel: {file: 'a: b', labels: l.txt, input_shape: [3, 8, 8]}\n"
                 "dataset: {source: \"p\\u00e4\", limit: 5, slice: [0, 2], preprocess: {preset: imagenet, mean: 0.1, "
                 "std: [1e-7, 3, 1e300]}}\n");
    check_stable("job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p.h5, path: /x, inputs: {z.1: /latent, "
                 "'y: ': /y}}\n");
    check_stable("job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p.h5, preprocess: {scale: 2}}\n");
    check_stable(
        MIXED
        "mixed: {input: a, psf: {kind: gaussian, fwhm: 3.2, size: [5, 5]}, stop: {rule: change, tolerance: 1e-4}}\n");
    check_stable(MIXED "mixed: {input: a, psf: {kind: file, centre: [3]}, latent: {count: 4, inputs: {z: normal, "
                       "label: one_hot}}, regularisation: .5, spacing: [1, 2]}\n");
    dcv_config *c;
    CHECK_OK(read_text(MIXED "mixed: {input: a, psf: {kind: gaussian}, latent: none}\nruntime: {threads: 4}\n", &c));
    static const char *const text =
        "job: mixed\nmixed:\n  input: a\n  psf:\n    kind: gaussian\n    centre: floor\n  stop:\n    rule: thinning\n"
        "    tolerance: 0.001\n  regularisation: auto\n  boundary: reflect\n";
    CHECK(!strcmp(c->text, text));
    if (strcmp(c->text, text))
        fprintf(stderr, "%s", c->text);
    dcv_config_free(c);
    CHECK_OK(
        read_text("job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p.h5, preprocess: {scale: 2}}\n", &c));
    CHECK(strstr(c->text, "    scale: 2.0\n") && !strstr(c->text, "mean"));
    dcv_config_free(c);
    CHECK_OK(read_text("job: search\noutput: o\nmodel: {file: m}\ndataset: {source: p.H5}\n", &c));
    CHECK(c && !strstr(c->text, "preprocess"));
    dcv_config_free(c);
}

/* What `new` prints is accepted once the required values are there. */
static void test_new(void)
{
    for (int i = 0; i < 2; i++) {
        char *text = dcv_config_new_text(&sections[i]), *d = dcv_config_describe(&sections[i]);
        CHECK(text && d && strstr(d, i ? "mixed.psf.kind" : "search.top") && strstr(text, sections[i].job));
        const char *const sets[] = {"model.file=m", "dataset.source=p", "mixed.input=a", "mixed.psf.kind=file",
                                    "mixed.iterations=3"};
        dcv_config *c, *plain;
        CHECK_OK(read_sets(text, sets, i ? 5 : 2, &c));
        CHECK_OK(read_sets(i ? MIXED : BASE, sets, i ? 5 : 2, &plain));
        CHECK(c && plain && !strcmp(c->text, plain->text));
        dcv_config_free(c);
        dcv_config_free(plain);
        dcv_free(text);
        dcv_free(d);
    }
    char *common = dcv_config_describe(NULL);
    CHECK(common && strstr(common, "dataset.preprocess.resize") && strstr(common, "slurm.time"));
    dcv_free(common);
}

/* Broken bytes and cuts never do worse than a message. */
static void test_fuzz(void)
{
    static const char seed[] = "\xef\xbb\xbfjob: mixed\r\noutput: \"o\\u00e4.h5\"\r\nmodel: {file: m, input_shape: [3, "
                               "224, 224]}\nmixed:\n  input: 'a''b'\n"
                               "  psf: {kind: gaussian, fwhm: 3.2, centre: [1, 2]}\n  latent: {count: 4, inputs: {z: "
                               "normal}}\n  stop: {rule: change, tolerance: 1.0e-3}\n"
                               "  regularisation: auto # why\n  spacing: [1, .5]\nruntime: {memory: 1.5GiB, threads: "
                               "2}\nslurm:\n  extra: [\"--x\"]\n  modules: []\n";
    static const char odd[] = "\0\t\n\r :[]{}#&*!|>'\"%@`,-?\x01\x7f\x80\xc3\xe2\xf0\xff"
                              "09.e~<";
    uint32_t state = 12345;
    char text[sizeof seed];
    for (int round = 0; round < 4000; round++) {
        memcpy(text, seed, sizeof seed);
        size_t n = sizeof seed - 1;
        for (int k = 0; k <= round % 4; k++) {
            state = state * 1664525u + 1013904223u;
            text[(state >> 8) % n] = odd[(state >> 24) % (sizeof odd - 1)];
        }
        if (round % 5 == 0)
            n = (state >> 4) % n;
        FILE *f = fopen(file, "w");
        CHECK(f && fwrite(text, 1, n, f) == n && !fclose(f));
        dcv_config *c;
        const dcv_status st = dcv_config_read(file, NULL, 0, sections, 2, &c);
        if (st ? st != DCV_ECONFIG || strncmp(dcv_message(), file, strlen(file)) != 0 : !c->text)
            CHECK(!"a failure without its place");
        dcv_config_free(c);
    }
}

int main(void)
{
    dcv_log_quiet(1);
    CHECK(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/c.yaml", folder);
    test_defaults();
    test_presets();
    test_refused();
    test_sets();
    test_places();
    test_text();
    test_new();
    test_fuzz();
    unlink(file);
    rmdir(folder);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
