/* Option tables: defaults, reading, checks, canonical text. */
#include "check.h"
#include <locale.h>
#include "core/text.h"
#include "deconvoy/field.h"

typedef struct inner {
    double sigma;
    int64_t every;
} inner;

typedef struct outer {
    bool flag;
    int64_t top, limit, none_int, size;
    double rate, none_real;
    char *name, *file, *absent;
    int rank_by, seed;
    dcv_ints patch, channels, unit, slice;
    dcv_reals fill, lags, regularisation;
    dcv_names layers, methods, targets;
    dcv_pairs inputs;
    inner blur, boxes;
    bool boxes_given;
} outer;

static const dcv_field inner_fields[] = {
    {.key = "sigma",
     .type = DCV_FIELD_REAL,
     .offset = DCV_AT(inner, sigma),
     .dflt = "0.5",
     .above_min = true,
     .unit = "px",
     .help = "width"},
    {.key = "every", .type = DCV_FIELD_INT, .offset = DCV_AT(inner, every), .dflt = "4", .min = 1, .help = "steps"},
    DCV_FIELDS_END,
};

static const dcv_field fields[] = {
    {.key = "flag", .type = DCV_FIELD_BOOL, .offset = DCV_AT(outer, flag), .dflt = "true"},
    {.key = "top", .type = DCV_FIELD_INT, .offset = DCV_AT(outer, top), .dflt = "9", .min = 1, .max = 512},
    {.key = "limit",
     .type = DCV_FIELD_INT,
     .offset = DCV_AT(outer, limit),
     .dflt = "all",
     .words = "all",
     .min = 0,
     .max = DCV_NO_LIMIT},
    {.key = "none_int", .type = DCV_FIELD_INT, .offset = DCV_AT(outer, none_int)},
    {.key = "size", .type = DCV_FIELD_BYTES, .offset = DCV_AT(outer, size), .dflt = "2GiB", .volatile_ = true},
    {.key = "rate", .type = DCV_FIELD_REAL, .offset = DCV_AT(outer, rate), .dflt = "1.0e-4"},
    {.key = "none_real", .type = DCV_FIELD_REAL, .offset = DCV_AT(outer, none_real)},
    {.key = "name", .type = DCV_FIELD_STRING, .offset = DCV_AT(outer, name), .dflt = "logits"},
    {.key = "file", .type = DCV_FIELD_PATH, .offset = DCV_AT(outer, file), .words = "none"},
    {.key = "absent", .type = DCV_FIELD_STRING, .offset = DCV_AT(outer, absent)},
    {.key = "rank_by", .type = DCV_FIELD_WORD, .offset = DCV_AT(outer, rank_by), .dflt = "max", .words = "max|mean"},
    {.key = "seed", .type = DCV_FIELD_WORD, .offset = DCV_AT(outer, seed), .words = "activation|one"},
    {.key = "patch",
     .type = DCV_FIELD_INTS,
     .offset = DCV_AT(outer, patch),
     .dflt = "[32, 32]",
     .min = 1,
     .n_min = 2,
     .n_max = 2,
     .unit = "px"},
    {.key = "channels",
     .type = DCV_FIELD_INTS,
     .offset = DCV_AT(outer, channels),
     .dflt = "all",
     .words = "all",
     .min = 0,
     .max = DCV_NO_LIMIT},
    {.key = "unit",
     .type = DCV_FIELD_INTS,
     .offset = DCV_AT(outer, unit),
     .dflt = "max",
     .words = "max|sum",
     .form = DCV_FORM_LIST,
     .n_min = 2,
     .n_max = 2},
    {.key = "slice",
     .type = DCV_FIELD_INTS,
     .offset = DCV_AT(outer, slice),
     .words = "none",
     .form = DCV_FORM_LIST,
     .n_min = 2,
     .n_max = 2},
    {.key = "fill", .type = DCV_FIELD_REALS, .offset = DCV_AT(outer, fill), .dflt = "0.5", .words = "mean"},
    {.key = "lags",
     .type = DCV_FIELD_REALS,
     .offset = DCV_AT(outer, lags),
     .dflt = "[-10, 60]",
     .form = DCV_FORM_LIST,
     .n_min = 2,
     .n_max = 2,
     .unit = "s"},
    {.key = "regularisation",
     .type = DCV_FIELD_REALS,
     .offset = DCV_AT(outer, regularisation),
     .dflt = "auto",
     .words = "auto",
     .form = DCV_FORM_ONE},
    {.key = "layers", .type = DCV_FIELD_NAMES, .offset = DCV_AT(outer, layers), .dflt = "all", .words = "all"},
    {.key = "methods",
     .type = DCV_FIELD_NAMES,
     .offset = DCV_AT(outer, methods),
     .dflt = "[deconvnet]",
     .choices = "deconvnet|gradient",
     .n_min = 1},
    {.key = "targets", .type = DCV_FIELD_NAMES, .offset = DCV_AT(outer, targets), .dflt = "[top1]", .n_min = 1},
    {.key = "inputs", .type = DCV_FIELD_PAIRS, .offset = DCV_AT(outer, inputs)},
    {.key = "blur", .type = DCV_FIELD_SECTION, .offset = DCV_AT(outer, blur), .fields = inner_fields},
    {.key = "boxes",
     .type = DCV_FIELD_SECTION,
     .offset = DCV_AT(outer, boxes),
     .fields = inner_fields,
     .given = 1 + DCV_AT(outer, boxes_given)},
    DCV_FIELDS_END,
};

static const dcv_field required_fields[] = {
    {.key = "file", .type = DCV_FIELD_PATH, .offset = 0, .required = true},
    DCV_FIELDS_END,
};

/* Defaults, then a flow text on top. */
static dcv_status read_text(const char *text, outer *o, dcv_arena *a)
{
    memset(o, 0, sizeof *o);
    DCV_TRY(dcv_fields_default(fields, o, a));
    dcv_tree *node;
    DCV_TRY(dcv_tree_flow(text, a, &node));
    for (dcv_tree *c = node->first; c; c = c->next)
        c->at = c->key_at = (dcv_place){"f.yaml", 3, 7};
    return dcv_fields_read(fields, node, "s", (dcv_place){"f.yaml", 2, 1}, o, a);
}

static void test_defaults(dcv_arena *a)
{
    outer o;
    CHECK_OK(read_text("{}", &o, a));
    CHECK(o.flag && o.top == 9 && o.limit == -1 && o.none_int == DCV_INT_ABSENT && o.size == 2147483648);
    CHECK(o.rate == 1e-4 && isnan(o.none_real) && !strcmp(o.name, "logits") && !o.file && !o.absent);
    CHECK(o.rank_by == 0 && o.seed == -1);
    CHECK(o.patch.n == 2 && !o.patch.scalar && o.patch.word == -1 && o.patch.v[1] == 32);
    CHECK(o.channels.word == 0 && o.unit.word == 0 && o.slice.word == -1 && o.slice.n == 0);
    CHECK(o.fill.scalar && o.fill.n == 1 && o.fill.v[0] == 0.5 && o.lags.v[0] == -10 && o.regularisation.word == 0);
    CHECK(o.layers.word == 0 && o.methods.n == 1 && !strcmp(o.methods.v[0], "deconvnet"));
    CHECK(o.inputs.n == 0 && o.blur.sigma == 0.5 && o.blur.every == 4 && !o.boxes_given && o.boxes.every == 4);
}

static void test_read(dcv_arena *a)
{
    outer o;
    CHECK_OK(read_text(
        "{flag: false, top: 512, limit: 0, size: 1.5GiB, rate: 2, file: a/b, name: 497, patch: 8, channels: [3, 5],"
        "unit: [1, 2], slice: [0, 8], fill: [.1, 2e-1, 1.], targets: [top1, 17], layers: conv1, seed: one,"
        "inputs: {z: /latent}, boxes: {every: 7}, regularisation: 1e-2}",
        &o, a));
    CHECK(!o.flag && o.top == 512 && o.limit == 0 && o.size == 1610612736 && o.rate == 2 && !strcmp(o.name, "497"));
    CHECK(o.patch.scalar && o.patch.n == 1 && o.patch.v[0] == 8 && o.channels.n == 2 && o.unit.n == 2 &&
          o.unit.word == -1);
    CHECK_NEAR(o.fill.v[1], 0.2, 0);
    CHECK(o.targets.n == 2 && !strcmp(o.targets.v[1], "17") && o.layers.scalar && !strcmp(o.layers.v[0], "conv1"));
    CHECK(o.seed == 1 && o.inputs.n == 1 && !strcmp(o.inputs.key[0], "z") && !strcmp(o.inputs.value[0], "/latent"));
    CHECK(o.boxes_given && o.boxes.every == 7 && o.boxes.sigma == 0.5 && o.regularisation.v[0] == 0.01);
    CHECK_OK(read_text("{boxes: none, file: none, fill: mean, limit: 7}", &o, a));
    CHECK(!o.boxes_given && !o.file && o.fill.word == 0 && o.limit == 7);
}

static void test_refused(dcv_arena *a)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{tpo: 3}", "f.yaml:3:7: unknown key 'tpo' in s; expected flag, top"},
        {"{tpo: 3}", "; nearest: top"},
        {"{top: 0}", "f.yaml:3:7: s.top is 0; expected a whole number from 1 to 512"},
        {"{top: 513}", "s.top is 513"},
        {"{top: nine}", "s.top is the text 'nine'"},
        {"{top: \"5\"}", "s.top is the text '5'"},
        {"{top: 5.0}", "s.top is 5.0"},
        {"{top: 1e2}", "s.top is 1e2"},
        {"{top: true}", "s.top is true"},
        {"{top: 010}", "s.top is the text '010'"},
        {"{top: 99999999999999999999}", "s.top is 99999999999999999999"},
        {"{top: }", "s.top is without a value"},
        {"{top: [5]}", "s.top is a list of 1"},
        {"{flag: 1}", "s.flag is 1; expected true or false"},
        {"{flag: yes}", "s.flag is the text 'yes'"},
        {"{rate: .nan}", "s.rate is .nan; expected a number"},
        {"{rate: -.inf}", "s.rate is -.inf"},
        {"{rate: 1e999}", "s.rate is 1e999"},
        {"{rate: \"1\"}", "s.rate is the text '1'"},
        {"{rank_by: maxx}", "s.rank_by is the text 'maxx'; expected max or mean; nearest: max"},
        {"{rank_by: 1}", "s.rank_by is 1; expected max or mean"},
        {"{patch: [1]}", "s.patch is a list of 1; expected a whole number or a list of 2 whole numbers of at least 1"},
        {"{patch: [1, 0]}", "s.patch: an element is 0"},
        {"{patch: 0}", "s.patch is 0"},
        {"{unit: 3}", "s.unit is 3; expected max or sum, or a list of 2 whole numbers"},
        {"{lags: 3}", "s.lags is 3; expected a list of 2 numbers"},
        {"{regularisation: [1]}", "s.regularisation is a list of 1; expected auto, or a number"},
        {"{methods: [gradeint]}", "s.methods knows no 'gradeint'; expected deconvnet or gradient; nearest: gradient"},
        {"{methods: []}", "s.methods is a list of 0"},
        {"{targets: [true]}", "s.targets: an element is true"},
        {"{layers: {a: b}}", "s.layers is a mapping"},
        {"{file: 5}", "s.file is 5; expected none or a path"},
        {"{file: [a]}", "s.file is a list of 1"},
        {"{size: 5 apples}", "s.size is the text '5 apples'"},
        {"{size: -1}", "s.size is -1"},
        {"{size: 1e30}", "s.size is 1e30"},
        {"{inputs: [a]}", "s.inputs is a list of 1"},
        {"{blur: 3}", "s.blur is 3; expected a mapping"},
        {"{blur: {sigma: 0}}", "s.blur.sigma is 0; expected a number above 0"},
        {"{blur: {evry: 1}}", "unknown key 'evry' in s.blur; expected sigma or every; nearest: every"},
        {"{boxes: 3}", "s.boxes is 3; expected none or a mapping"},
    };
    outer o;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_FAILS(read_text(cases[i].text, &o, a), DCV_ECONFIG, cases[i].says);
    char *file = NULL;
    static const dcv_tree empty = {.kind = DCV_TREE_MAP};
    CHECK_FAILS(dcv_fields_read(required_fields, &empty, "model", (dcv_place){"f.yaml", 2, 1}, &file, a), DCV_ECONFIG,
                "f.yaml:2:1: model.file is missing; expected a path");
}

static void test_text(dcv_arena *a)
{
    static const char *const expect =
        "  flag: true\n  top: 9\n  limit: all\n  rate: 0.0001\n  name: \"497\"\n  rank_by: max\n  patch: [32, 32]\n  "
        "channels: 3\n"
        "  unit: [1, 2]\n  fill: 0.5\n  lags: [-10.0, 60.0]\n  regularisation: auto\n  layers: [all, \"a b: c\"]\n"
        "  methods: [deconvnet]\n  targets: [top1, 17]\n  inputs: {z: /latent}\n  blur:\n    sigma: 0.5\n    every: "
        "4\n";
    outer o;
    CHECK_OK(read_text(
        "{name: 497, channels: 3, unit: [1, 2], layers: [all, \"a b: c\"], targets: [top1, 17], inputs: {z: /latent}}",
        &o, a));
    char *text = dcv_fields_text(fields, &o, 1);
    CHECK(text && !strcmp(text, expect));
    if (text && strcmp(text, expect))
        fprintf(stderr, "%s", text);
    dcv_free(text);
    char *d = dcv_fields_describe(fields, "s"), *n = dcv_fields_new_text(fields, 1, false);
    CHECK(d && strstr(d, "s.blur.sigma") && strstr(d, "above 0") && strstr(d, "deconvnet or gradient"));
    CHECK(n && strstr(n, "  top: 9") && strstr(n, "  # none_int:") && strstr(n, "    sigma: 0.5") &&
          strstr(n, "  # boxes:"));
    dcv_free(d);
    dcv_free(n);
}

static void check_real(double v, const char *expect)
{
    dcv_text t = {0};
    dcv_text_real(&t, v);
    char *s = dcv_text_take(&t);
    CHECK(s && !strcmp(s, expect) && (isnan(v) || isinf(v) || strtod(s, NULL) == v));
    if (s && strcmp(s, expect))
        fprintf(stderr, "%s, want %s\n", s, expect);
    dcv_free(s);
}

static void check_scalar(const char *text, const char *expect, bool numbers)
{
    dcv_text t = {0};
    dcv_text_scalar(&t, text, numbers);
    char *s = dcv_text_take(&t);
    CHECK(s && !strcmp(s, expect));
    if (s && strcmp(s, expect))
        fprintf(stderr, "%s, want %s\n", s, expect);
    dcv_free(s);
}

static void test_spelling(void)
{
    /* Python's repr(), but for an exponent's form, which PyYAML needs as 1.0e-5. */
    check_real(0, "0.0");
    check_real(-0.0, "-0.0");
    check_real(1, "1.0");
    check_real(100, "100.0");
    check_real(0.1, "0.1");
    check_real(1. / 255, "0.00392156862745098");
    check_real(0.05, "0.05");
    check_real(1e-4, "0.0001");
    check_real(1e-5, "1.0e-5");
    check_real(1.25e-7, "1.25e-7");
    check_real(123456789.125, "123456789.125");
    check_real(1e15, "1000000000000000.0");
    check_real(1e16, "1.0e+16");
    check_real(-2.5e300, "-2.5e+300");
    check_real(5e-324, "5.0e-324");
    check_real(1.7976931348623157e308, "1.7976931348623157e+308");
    check_scalar("photos/a b.jpg", "photos/a b.jpg", false);
    check_scalar("../x.onnx", "../x.onnx", false);
    check_scalar("", "\"\"", false);
    check_scalar("no", "\"no\"", false);
    check_scalar("NULL", "\"NULL\"", false);
    check_scalar("17", "\"17\"", false);
    check_scalar("17", "17", true);
    check_scalar("017", "\"017\"", true);
    check_scalar("04:00:00", "\"04:00:00\"", false);
    check_scalar("a: b", "\"a: b\"", false);
    check_scalar("-x", "\"-x\"", false);
    check_scalar(".5", "\".5\"", false);
    check_scalar("say \"hi\"\\\n", "\"say \\\"hi\\\"\\\\\\u000A\"", false);
    check_scalar("Gr\xc3\xbc\xc3\x9f", "\"Gr\xc3\xbc\xc3\x9f\"", false);
    check_scalar("a\xc2\x85z", "\"a\\u0085z\"", false);
}

/* ONNX attributes. */
static void test_set(dcv_arena *a)
{
    outer o = {0};
    const int64_t two[] = {3, 4}, zero = 0, five = 5;
    const double half = 0.5;
    const dcv_field *patch = dcv_field_find(fields, "patch"), *top = dcv_field_find(fields, "top");
    CHECK_OK(dcv_field_set_ints(patch, &o, two, 2, false, a));
    CHECK(o.patch.n == 2 && o.patch.v[1] == 4 && o.patch.word == -1 && !o.patch.scalar);
    CHECK_FAILS(dcv_field_set_ints(patch, &o, two, 1, false, a), DCV_EDATA, "attribute patch is a list of 1; expected");
    CHECK_FAILS(dcv_field_set_ints(top, &o, &zero, 1, true, a), DCV_EDATA,
                "attribute top is 0; expected a whole number from 1 to 512");
    CHECK_OK(dcv_field_set_ints(top, &o, &five, 1, true, a));
    CHECK(o.top == 5);
    CHECK_OK(dcv_field_set_ints(dcv_field_find(fields, "flag"), &o, &zero, 1, true, a));
    CHECK_FAILS(dcv_field_set_ints(dcv_field_find(fields, "flag"), &o, &five, 1, true, a), DCV_EDATA,
                "attribute flag is 5");
    CHECK_FAILS(dcv_field_set_reals(top, &o, &half, 1, true, a), DCV_EDATA,
                "attribute top is a number; expected a whole");
    CHECK_OK(dcv_field_set_reals(dcv_field_find(fields, "rate"), &o, &half, 1, true, a));
    CHECK(o.rate == 0.5);
    CHECK_OK(dcv_field_set_text(dcv_field_find(fields, "rank_by"), &o, "mean", a));
    CHECK(o.rank_by == 1);
    CHECK_FAILS(dcv_field_set_text(dcv_field_find(fields, "rank_by"), &o, "median", a), DCV_EDATA,
                "attribute rank_by is 'median'; expected max or mean");
    CHECK(!dcv_field_find(fields, "zzz"));
}

int main(void)
{
    dcv_arena *a;
    CHECK_OK(dcv_arena_new(&a));
    test_defaults(a);
    test_read(a);
    test_refused(a);
    test_text(a);
    test_spelling();
    test_set(a);
    dcv_arena_free(a);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
