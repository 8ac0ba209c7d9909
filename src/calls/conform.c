/* conform.c -- deconvoy conform DIR...: run ONNX test cases.
 *
 * A case is run in every way that its operators allow: with its inputs as a picture's, and with all or some of them
 * constant, folded when the graph is built.  All that can be done must come out right.  Each case has a process of its
 * own, so that one which is broken or hostile costs its line and nothing else.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "calls/args.h"
#include "calls/call.h"
#include "deconvoy/engine.h"
#include "engine/onnx_case.h"

static const char usage[] = "conform DIR... [--tolerance A,R]";

enum { MAX_DEPTH = 16, MAX_SETS = 1000, TIMEOUT_MS = 60000 };

typedef enum verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_UNSUPPORTED, N_VERDICT } verdict;

/* What a case's process writes when it is done. */
typedef struct answer {
    verdict verdict;
    double worst;
    char text[400]; /* operator, or reason; "": worst */
} answer;

typedef struct conform {
    double absolute, relative;
    dcv_backend_kind backend;
    int64_t n[N_VERDICT];
} conform;

/* ---- one case, in its own process ---- */

/* On one line. */
static void set_text(answer *a, const char *text)
{
    snprintf(a->text, sizeof a->text, "%s", text);
    for (char *p = a->text; *p; p++)
        *p = (unsigned char)*p < ' ' ? ' ' : *p;
}

static void set_operator(answer *a, const dcv_model *m, int node)
{
    char text[300];
    const dcv_model_node *nd = node >= 0 ? &m->node[node] : m->n_node ? &m->node[0] : NULL;
    a->verdict = VERDICT_UNSUPPORTED;
    snprintf(text, sizeof text, "%s%s%s", nd ? nd->domain : "", nd && *nd->domain ? "." : "", nd ? nd->op : "none");
    set_text(a, text);
}

static int unknown_node(const dcv_model *m)
{
    for (int i = 0; i < m->n_node; i++)
        if (!dcv_graph_knows(&m->node[i]))
            return i;
    return -1;
}

/* Does output o of the walk equal the case's? */
static dcv_status compare(const conform *c, const dcv_case *t, const dcv_graph *g, const dcv_walk *w, int o, answer *a)
{
    const dcv_value *v = &g->value[g->out[o]];
    const dcv_const *want = t->out[o];
    dcv_dims_text have, wanted;
    if (!dcv_dims_equal(&want->dims, &v->dims))
        return dcv_fail(DCV_EDATA, "output \"%s\" is %s; expected %s", v->name, dcv_dims_print(&v->dims, have),
                        dcv_dims_print(&want->dims, wanted));
    float *y = v->constant ? NULL : dcv_alloc((size_t)dcv_count(&v->dims), sizeof *y);
    if (!v->constant && !y)
        return DCV_ENOMEM;
    if (y)
        dcv_walk_output(w, o, 0, y);
    if (!dcv_case_equal(want, y ? y : v->constant, !y && v->type == DCV_I64, c->absolute, c->relative, &a->worst))
        a->verdict = VERDICT_FAIL;
    dcv_free(y);
    return DCV_OK;
}

/* The pictures of graph inputs, and where a walk looks for them. */
typedef struct inputs {
    float **picture;
    const float **group;
    const float *const **input;
} inputs;

static dcv_status inputs_make(const dcv_case_graph *b, inputs *in)
{
    const size_t n = (size_t)b->g->n_in;
    in->picture = dcv_alloc(n + 1, sizeof *in->picture);
    in->group = dcv_alloc(n + 1, sizeof *in->group);
    in->input = dcv_alloc(n + 1, sizeof *in->input);
    if (!in->picture || !in->group || !in->input)
        return DCV_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        in->picture[i] = dcv_alloc((size_t)dcv_count(&b->live[i]->dims), sizeof(float));
        if (!in->picture[i])
            return DCV_ENOMEM;
        dcv_const_floats(b->live[i], in->picture[i]);
        in->group[i] = in->picture[i];
        in->input[i] = &in->group[i];
    }
    return DCV_OK;
}

static void inputs_clear(const dcv_case_graph *b, inputs *in)
{
    for (int i = 0; in->picture && i < b->g->n_in; i++)
        dcv_free(in->picture[i]);
    dcv_free(in->picture);
    dcv_free(in->group);
    dcv_free(in->input);
}

static dcv_status walk(const conform *c, const dcv_case *t, const dcv_case_graph *b, answer *a)
{
    const dcv_engine_options o = {.precision = DCV_STRICT, .backend = c->backend};
    dcv_engine *e = NULL;
    dcv_walk *w = NULL;
    inputs in = {0};
    dcv_status st;
    DCV_TRY_DONE(st, dcv_engine_new(b->g, &o, &e));
    DCV_TRY_DONE(st, dcv_engine_pack_own(e));
    DCV_TRY_DONE(st, dcv_walk_new(e, &w));
    DCV_TRY_DONE(st, inputs_make(b, &in));
    dcv_walk_forward(w, 1, in.input, NULL, NULL);
    for (int i = 0; i < b->g->n_out && st == DCV_OK; i++)
        st = compare(c, t, b->g, w, i, a);
done:
    inputs_clear(b, &in);
    dcv_walk_free(w);
    dcv_engine_free(e);
    return st;
}

/* A constant graph needs no engine. */
static dcv_status run_bound(const conform *c, const dcv_case *t, const dcv_case_graph *b, answer *a)
{
    if (b->g->n_node)
        return walk(c, t, b, a);
    for (int i = 0; i < b->g->n_out; i++)
        if (b->g->value[b->g->out[i]].constant)
            DCV_TRY(compare(c, t, b->g, NULL, i, a));
        else
            return walk(c, t, b, a); /* an output that is an input */
    return DCV_OK;
}

/* One data set in all ways. */
static dcv_status run_set(const conform *c, const dcv_case *t, answer *a)
{
    int failed = -1, ran = 0;
    for (int way = 0; way < DCV_CASE_N_WAY; way++) {
        dcv_case_graph b;
        dcv_status st = dcv_case_bind(t, (dcv_case_way)way, &b);
        if (st == DCV_OK)
            st = run_bound(c, t, &b, a);
        failed = failed < 0 ? b.failed : failed;
        dcv_case_graph_clear(&b);
        if (st != DCV_OK && st != DCV_EUNSUPPORTED)
            return st;
        ran += st == DCV_OK;
    }
    if (!ran)
        set_operator(a, t->m, failed);
    return DCV_OK;
}

static dcv_status run_sets(const conform *c, const char *dir, const dcv_model *m, answer *a)
{
    bool there = true;
    for (int i = 0; i < MAX_SETS && there && a->verdict != VERDICT_UNSUPPORTED; i++) {
        dcv_case t;
        dcv_status st = dcv_case_read(dir, i, m, &there, &t);
        if (st == DCV_EUNSUPPORTED)
            set_operator(a, m, -1);
        else if (st != DCV_OK)
            return st;
        else if (there)
            st = run_set(c, &t, a);
        else if (i == 0)
            return dcv_fail(DCV_EDATA, "test_data_set_0 is missing");
        dcv_case_clear(&t);
        if (st != DCV_OK && st != DCV_EUNSUPPORTED)
            return st;
    }
    return DCV_OK;
}

static dcv_status run_model(const conform *c, const char *dir, answer *a)
{
    char path[PATH_MAX];
    dcv_model *m;
    if ((size_t)snprintf(path, sizeof path, "%s/model.onnx", dir) >= sizeof path)
        return dcv_fail(DCV_EDATA, "the path is too long");
    DCV_TRY(dcv_model_open(path, &m));
    const int unknown = unknown_node(m);
    dcv_status st = DCV_OK;
    if (unknown >= 0)
        set_operator(a, m, unknown);
    else
        st = run_sets(c, dir, m, a);
    dcv_model_free(m);
    return st;
}

static void run_case(const conform *c, const char *dir, answer *a)
{
    const dcv_status st = run_model(c, dir, a);
    if (st == DCV_OK)
        return;
    a->verdict = VERDICT_FAIL;
    const size_t n = strlen(dir);
    const char *text = dcv_message();
    if (!strncmp(text, dir, n) && text[n] == '/')
        text += n + 1; /* the name says where */
    set_text(a, *text ? text : "failed without a word");
}

/* ---- its process, from outside ---- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Read a whole answer before the time is over; how many bytes came. */
static size_t listen_to(int fd, answer *a, bool *late)
{
    const int64_t end = now_ms() + TIMEOUT_MS;
    size_t got = 0;
    *late = false;
    while (got < sizeof *a) {
        struct pollfd p = {fd, POLLIN, 0};
        const int64_t left = end - now_ms();
        if (left <= 0) {
            *late = true;
            break;
        }
        if (poll(&p, 1, (int)left) <= 0)
            continue;
        const ssize_t n = read(fd, (char *)a + got, sizeof *a - got);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        got += n > 0 ? (size_t)n : 0;
    }
    return got;
}

static void tell(const conform *c, const char *dir, int fd)
{
    answer a = {0};
    run_case(c, dir, &a);
    for (size_t sent = 0; sent < sizeof a;) {
        const ssize_t n = write(fd, (const char *)&a + sent, sizeof a - sent);
        if (n < 0 && errno != EINTR)
            break;
        sent += n > 0 ? (size_t)n : 0;
    }
}

static dcv_status probe(const conform *c, const char *dir, answer *a)
{
    int fd[2], status = 0;
    bool late;
    fflush(stdout);
    if (pipe(fd))
        return dcv_fail(DCV_EIO, "conform: no pipe: %s", strerror(errno));
    const pid_t child = fork();
    if (child == 0) {
        close(fd[0]);
        tell(c, dir, fd[1]);
        _exit(0);
    }
    close(fd[1]);
    if (child < 0) {
        close(fd[0]);
        return dcv_fail(DCV_EIO, "conform: no process: %s", strerror(errno));
    }
    const size_t got = listen_to(fd[0], a, &late);
    close(fd[0]);
    if (got < sizeof *a)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (got == sizeof *a)
        return DCV_OK;
    *a = (answer){.verdict = VERDICT_FAIL};
    if (late)
        snprintf(a->text, sizeof a->text, "took more than %d s", TIMEOUT_MS / 1000);
    else
        snprintf(a->text, sizeof a->text, "ended by signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return DCV_OK;
}

/* ---- the cases ---- */

static dcv_status one(conform *c, const char *dir)
{
    static const char *const words[] = {"pass", "fail", "unsupported"};
    const char *slash = strrchr(dir, '/');
    answer a;
    DCV_TRY(probe(c, dir, &a));
    const verdict v = a.verdict < N_VERDICT ? a.verdict : VERDICT_FAIL;
    c->n[v]++;
    printf("%s %s ", words[v], slash && slash[1] ? slash + 1 : dir);
    if (*a.text)
        printf("%.*s\n", (int)sizeof a.text, a.text);
    else
        printf("%.3g\n", a.worst);
    return DCV_OK;
}

static bool is_case(const char *dir)
{
    char path[PATH_MAX];
    return (size_t)snprintf(path, sizeof path, "%s/model.onnx", dir) < sizeof path && access(path, F_OK) == 0;
}

static int is_shown(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* A case, or a folder of cases and such folders; found: how many cases. */
static dcv_status walk_folder(conform *c, const char *dir, int depth, int64_t *found)
{
    struct stat s;
    struct dirent **list = NULL;
    dcv_status st = DCV_OK;
    if (is_case(dir)) {
        ++*found;
        return one(c, dir);
    }
    if (depth > MAX_DEPTH || stat(dir, &s) || !S_ISDIR(s.st_mode))
        return DCV_OK;
    const int n = scandir(dir, &list, is_shown, alphasort);
    if (n < 0)
        return dcv_fail(DCV_ENOINPUT, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        if (st == DCV_OK && (size_t)snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name) < sizeof path)
            st = walk_folder(c, path, depth + 1, found);
        free(list[i]);
    }
    free(list);
    return st;
}

static dcv_status real_folder(const char *operand, char dir[PATH_MAX])
{
    if (realpath(operand, dir)) /* so that "." has a name too */
        return DCV_OK;
    return dcv_fail(DCV_ENOINPUT, "%s: %s; expected a folder with model.onnx, or of such folders", operand,
                    strerror(errno));
}

static dcv_status walk_operand(conform *c, const char *operand)
{
    char dir[PATH_MAX];
    int64_t found = 0;
    DCV_TRY(real_folder(operand, dir));
    DCV_TRY(walk_folder(c, dir, 0, &found));
    return found ? DCV_OK
                 : dcv_fail(DCV_ENOINPUT, "%s: no model.onnx in it or below; expected ONNX test cases", operand);
}

static dcv_status tolerance(const char *text, conform *c)
{
    char *end = NULL;
    if (!text)
        return DCV_OK;
    c->absolute = strtod(text, &end);
    const bool comma = end != text && *end == ',';
    const char *second = end + 1;
    c->relative = comma ? strtod(second, &end) : 0;
    if (!comma || end == second || *end || !(c->absolute >= 0) || !(c->relative >= 0) || isinf(c->absolute) ||
        isinf(c->relative))
        return dcv_fail(DCV_EUSAGE, "conform: --tolerance is '%.60s'; expected A,R, two numbers of at least 0", text);
    return DCV_OK;
}

static dcv_status run_all(conform *c, const char *const *dir, int n)
{
    char path[PATH_MAX];
    DCV_TRY(dcv_backend_choose(&c->backend));
    for (int i = 0; i < n; i++) /* before anything is said */
        DCV_TRY(real_folder(dir[i], path));
    for (int i = 0; i < n; i++)
        DCV_TRY(walk_operand(c, dir[i]));
    printf("%lld passed, %lld failed, %lld unsupported\n", (long long)c->n[VERDICT_PASS], (long long)c->n[VERDICT_FAIL],
           (long long)c->n[VERDICT_UNSUPPORTED]);
    return DCV_OK;
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    conform c = {.absolute = 1e-4, .relative = 1e-3};
    const char *text = NULL, **dir = dcv_alloc((size_t)argc + 1, sizeof *dir);
    const dcv_arg table[] = {{"--tolerance", DCV_ARG_TEXT, &text}, {0}};
    int n = 0;
    dcv_status st = DCV_ENOMEM;
    if (!dir)
        return st;
    DCV_TRY_DONE(st, dcv_args_read(argc, argv, usage, table, dir, 1, argc, &n));
    DCV_TRY_DONE(st, tolerance(text, &c));
    DCV_TRY_DONE(st, run_all(&c, dir, n));
    *exit_code = c.n[VERDICT_FAIL] ? 1 : 0;
done:
    dcv_free(dir);
    return st;
}

const dcv_call dcv_call_conform = {
    .name = "conform",
    .usage = usage,
    .help = "run ONNX test cases: pass, fail or unsupported, a line each",
    .computes = 1,
    .run = run,
};
