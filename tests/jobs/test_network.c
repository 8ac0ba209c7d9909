/* test_network.c -- jobs opened and closed, whatever goes wrong between: all memory is given back. */
#include "check.h"

#include <unistd.h>
#include "deconvoy/job.h"
#include "deconvoy/memory.h"

static char folder[] = "/tmp/deconvoy-jobs-XXXXXX";

static const char *at(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_text(const char *name, const char *text)
{
    FILE *f = fopen(at(name), "wb");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static const dcv_job_kind *kind_of(const char *name)
{
    const dcv_job_kind *k;
    for (int i = 0; (k = dcv_job_kind_at(i)); i++)
        if (strcmp(k->section.job, name) == 0)
            return k;
    return NULL;
}

static dcv_config *config_of(const dcv_job_kind *kind, const char *source, const char *more)
{
    char text[2000];
    dcv_config *c = NULL;
    snprintf(text, sizeof text,
             "job: %s\noutput: o.h5\nmodel: {file: %s/configs/models/fashion_mnist.onnx}\n"
             "dataset: {source: %s, on_error: fail}\n%s\n",
             kind->section.job, DCV_SOURCE_DIR, source, more);
    put_text("job.yaml", text);
    CHECK_OK(dcv_config_read(at("job.yaml"), NULL, 0, &kind->section, 1, &c));
    return c;
}

/* One item of network input whose third value is NaN. */
static void put_nan(void)
{
    float x[28 * 28] = {0, 1, NAN};
    dcv_store *s = NULL;
    int id;
    int64_t bytes;
    CHECK_OK(dcv_store_new(&s));
    CHECK_OK(dcv_store_dataset(s, "/images", DCV_F32, 0, &(dcv_dims){4, {1, 1, 28, 28}}, &id));
    CHECK_OK(dcv_store_values(s, id, x, sizeof x));
    CHECK_OK(dcv_store_create(s, at("nan.h5"), &bytes));
    dcv_store_free(s);
}

/* The first unit's only item is broken. */
static void broken_item(const char *job_name, const char *source, const char *words)
{
    const dcv_job_kind *kind = kind_of(job_name);
    dcv_config *c = config_of(kind, source, "");
    dcv_job *job = NULL;
    void *input = &input;
    CHECK_OK(kind->open(c, NULL, 1, &job));
    const int64_t before = dcv_alloc_balance();
    CHECK_FAILS(kind->read(job, 0, 0, &input), DCV_EDATA, words);
    CHECK(input == NULL && dcv_alloc_balance() == before);
    kind->close(job);
    dcv_config_free(c);
    CHECK(dcv_alloc_balance() == 0);
}

static void refused(const char *job_name, const char *more, dcv_status st, const char *words)
{
    const dcv_job_kind *kind = kind_of(job_name);
    dcv_config *c = config_of(kind, "bad.png", more);
    dcv_job *job = NULL;
    CHECK_FAILS(kind->open(c, NULL, 2, &job), st, words);
    if (job)
        kind->close(job);
    dcv_config_free(c);
    CHECK(dcv_alloc_balance() == 0);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    put_text("bad.png", "\x89PNG\r\n\x1a\n");
    put_nan();
    broken_item("infer", "bad.png", "bad.png: ");
    broken_item("infer", "nan.h5", "NaN at element 2");
    broken_item("max_activation", "bad.png", "bad.png: ");
    broken_item("max_activation", "nan.h5", "NaN at element 2");
    refused("infer", "runtime: {memory: 1KiB}", DCV_ECONFIG, "job.yaml:5:19: one picture on each of 2 threads");
    refused("infer", "infer: {outputs: [logits, logits]}", DCV_ECONFIG, "is there twice");
    refused("max_activation", "max_activation: {layers: [nothing]}", DCV_ECONFIG, "no layer \"nothing\"");
    refused("max_activation", "max_activation: {channels: [9999]}", DCV_ECONFIG, "channel 9999");
    unlink(at("bad.png"));
    unlink(at("nan.h5"));
    unlink(at("job.yaml"));
    rmdir(folder);
    return check_end();
}
