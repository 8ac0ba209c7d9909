/* YAML to trees: places, limits, what is refused. */
#include "check.h"
#include "io/yaml.h"

static dcv_arena *arena;

static dcv_status parse(const char *text, dcv_tree **out)
{
    return dcv_yaml_parse(text, strlen(text), "f.yaml", true, arena, out);
}

static void test_places(void)
{
    dcv_tree *t;
    CHECK_OK(parse("\xef\xbb\xbf# c\r\na:   1 # x\r\nb: {c: [x, 'y z'], \"d\": }\r\n\xc3\xa4: \xc3\xb6 \r\ne:\r\n  - "
                   "1\r\n  - |\r\n    two\r\n",
                   &t));
    const dcv_tree *a = dcv_tree_find(t, "a"), *b = dcv_tree_find(t, "b"), *c = dcv_tree_find(b, "c"),
                   *e = dcv_tree_find(t, "e");
    CHECK(t && t->kind == DCV_TREE_MAP && t->n == 4 && a && b && c && e);
    CHECK(a->at.line == 2 && a->at.column == 6 && a->key_at.column == 1 && !strcmp(a->text, "1") && !a->quoted &&
          dcv_tree_is_int(a));
    CHECK(c->key_at.line == 3 && c->key_at.column == 5 && c->at.column == 8 && c->n == 2);
    const dcv_tree *y = dcv_tree_at(c, 1);
    CHECK(y && y->quoted && !strcmp(y->text, "y z") && y->at.column == 12 && !dcv_tree_at(c, 2));
    CHECK(dcv_tree_is_null(dcv_tree_find(b, "d")) && !dcv_tree_find(b, "z") && !dcv_tree_find(a, "z"));
    const dcv_tree *u = dcv_tree_find(t, "\xc3\xa4");
    CHECK(u && u->at.column == 4 && !strcmp(u->text, "\xc3\xb6"));
    CHECK(e->at.line == 6 && dcv_tree_place(e).line == 5 && dcv_tree_place(a).column == 6);
    CHECK(!strcmp(dcv_tree_at(e, 1)->text, "two\n") && dcv_tree_at(e, 1)->quoted);
    CHECK_OK(dcv_yaml_parse("[1, 2]", 6, "--set a=[1, 2]", false, arena, &t));
    char place[64];
    CHECK(t->n == 2 && !strcmp(dcv_place_print(t->at, place, sizeof place), "--set a=[1, 2]"));
    CHECK_OK(parse("# nothing\n", &t));
    CHECK(!t);
    CHECK_OK(parse("%YAML 1.1\n---\na: 1\n...\n", &t));
    CHECK(t && t->n == 1);
}

static void test_refused(void)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: duplicate key 'a'; expected each key once (first in line 1)"},
        {"x: {b: 1, b: 2}", "f.yaml:1:11: duplicate key 'b'"},
        {"a: &n 1\n", "f.yaml:1:4: anchor &n"},
        {"a: &n [1]\n", "f.yaml:1:4: anchor &n"},
        {"b: 1\na: *n\n", "f.yaml:2:4: alias *n"},
        {"<<: {b: 1}\n", "f.yaml:1:1: merge key <<"},
        {"a: !!int 5\n", "f.yaml:1:4: tag tag:yaml.org"},
        {"a: !x {b: 1}\n", "f.yaml:1:4: tag !x"},
        {"%TAG ! tag:x,2000:\n---\na: 1\n", "f.yaml:1:1: directive %TAG"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document"},
        {"? [a]\n: 1\n", "f.yaml:1:3: a list or mapping stands as a key"},
        {"? {a: 1}\n: 1\n", "f.yaml:1:3: a list or mapping stands as a key"},
        {"a: \"x\\0y\"\n", "f.yaml:1:4: a text with a zero byte"},
        {"a: [1, 2\nb: 3\n", "f.yaml:"},
        {"a:\n\tb: 1\n", "f.yaml:2:1: not YAML: found character that cannot start any token"},
        {"a:\n\tb: 1\n", "; expected blanks, not a tab"},
        {"a: 1\nb: \xff\n", "f.yaml:2:4: not YAML: "},
        {"a: 1\n  b: 2\n", "f.yaml:2:4: not YAML: mapping values are not allowed in this context"},
        {"a: 'x\n", "f.yaml:"},
        {"\xff\xfe"
         "a\0",
         "f.yaml:1:1: not YAML: "},
        {"a: \x01\n", "f.yaml:1:4: not YAML: control characters are not allowed"},
    };
    dcv_tree *t;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FAILS(parse(cases[i].text, &t), DCV_ECONFIG, cases[i].says);
        CHECK(!t);
    }
    CHECK_FAILS(dcv_yaml_parse("a: [", 4, "--set a=[", false, arena, &t), DCV_ECONFIG, "--set a=[: not YAML: ");
    CHECK_FAILS(dcv_yaml_read("/nonexistent/x.yaml", arena, &t), DCV_ENOINPUT, "/nonexistent/x.yaml: No such file");
    CHECK_FAILS(dcv_yaml_read("/", arena, &t), DCV_ENOINPUT, "/: Is a directory");
}

static void nested(char *s, int levels)
{
    char *p = s;
    for (int i = 0; i < levels; i++)
        p += sprintf(p, "{a: ");
    p += sprintf(p, "1");
    for (int i = 0; i < levels; i++)
        p += sprintf(p, "}");
}

static void test_limits(void)
{
    static char text[2 * DCV_YAML_MAX_BYTES];
    dcv_tree *t;
    nested(text, 16);
    CHECK_OK(parse(text, &t));
    nested(text, 17);
    CHECK_FAILS(parse(text, &t), DCV_ECONFIG, "f.yaml:1:69: more than 16 levels below the root");
    memset(text, '[', 1000000);
    text[1000000] = 0;
    CHECK_FAILS(parse(text, &t), DCV_ECONFIG, "more than 16 levels");
    memset(text, ' ', sizeof text);
    CHECK_OK(dcv_yaml_parse(text, DCV_YAML_MAX_BYTES, "f.yaml", true, arena, &t));
    CHECK_FAILS(dcv_yaml_parse(text, DCV_YAML_MAX_BYTES + 1, "f.yaml", true, arena, &t), DCV_ECONFIG,
                "f.yaml:1:1: larger than 1 MiB");
    char *p = text + sprintf(text, "a: [");
    for (int i = 0; i < 200000; i++)
        p += sprintf(p, "1,");
    sprintf(p, "]");
    CHECK_FAILS(parse(text, &t), DCV_ECONFIG, "more than 100000 values");
    p = text;
    for (int i = 0; i < 90000; i++)
        p += sprintf(p, "k%d: 1\n", i);
    CHECK_OK(parse(text, &t));
    CHECK(t && t->n == 90000);
}

/* Plain scalars by the core schema. */
static void test_scalars(void)
{
    static const struct {
        const char *text;
        bool is_int, is_real, is_null;
    } cases[] = {
        {"1", 1, 1, 0},    {"-3", 1, 1, 0},    {"+3", 1, 1, 0},  {"0", 1, 1, 0},        {"010", 0, 0, 0},
        {"1.0", 0, 1, 0},  {"1.", 0, 1, 0},    {".5", 0, 1, 0},  {"1e3", 0, 1, 0},      {"1.0e-4", 0, 1, 0},
        {"1e", 0, 0, 0},   {".", 0, 0, 0},     {"-", 0, 0, 0},   {".inf", 0, 1, 0},     {"-.INF", 0, 1, 0},
        {".NaN", 0, 1, 0}, {"nan", 0, 0, 0},   {"", 0, 0, 1},    {"~", 0, 0, 1},        {"null", 0, 0, 1},
        {"0x10", 0, 0, 0}, {"1_000", 0, 0, 0}, {"1 2", 0, 0, 0}, {"04:00:00", 0, 0, 0}, {"-0.5", 0, 1, 0},
        {"00.5", 0, 0, 0}, {"1.5.2", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dcv_tree node = {.kind = DCV_TREE_TEXT, .text = cases[i].text};
        const bool good = dcv_tree_is_int(&node) == cases[i].is_int && dcv_tree_is_real(&node) == cases[i].is_real &&
                          dcv_tree_is_null(&node) == cases[i].is_null;
        if (!good)
            fprintf(stderr, "scalar '%s'\n", cases[i].text);
        CHECK(good);
        node.quoted = true;
        CHECK(!dcv_tree_is_int(&node) && !dcv_tree_is_real(&node) && !dcv_tree_is_null(&node));
    }
}

int main(void)
{
    CHECK_OK(dcv_arena_new(&arena));
    test_places();
    test_refused();
    test_limits();
    test_scalars();
    dcv_arena_free(arena);
    CHECK(dcv_alloc_balance() == 0);
    return check_end();
}
