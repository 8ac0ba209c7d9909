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

static dcv_config *config_of(const dcv_job_kind *kind, const char *more)
{
    char text[2000];
    dcv_config *c = NULL;
    snprintf(text, sizeof text,
             "job: %s\noutput: o.h5\nmodel: {file: %s/configs/models/fashion_mnist.onnx}\n"
             "dataset: {source: bad.png, on_error: fail}\n%s\n",
             kind->section.job, DCV_SOURCE_DIR, more);
    put_text("job.yaml", text);
    CHECK_OK(dcv_config_read(at("job.yaml"), NULL, 0, &kind->section, 1, &c));
    return c;
}

/* The first unit's only picture is broken. */
static void broken_picture(const char *job_name)
{
    const dcv_job_kind *kind = kind_of(job_name);
    dcv_config *c = config_of(kind, "");
    dcv_job *job = NULL;
    void *input = &input;
    CHECK_OK(kind->open(c, NULL, 1, &job));
    const int64_t before = dcv_alloc_balance();
    CHECK_FAILS(kind->read(job, 0, 0, &input), DCV_EDATA, "bad.png: ");
    CHECK(input == NULL && dcv_alloc_balance() == before);
    kind->close(job);
    dcv_config_free(c);
    CHECK(dcv_alloc_balance() == 0);
}

static void refused(const char *job_name, const char *more, dcv_status st, const char *words)
{
    const dcv_job_kind *kind = kind_of(job_name);
    dcv_config *c = config_of(kind, more);
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
    broken_picture("infer");
    broken_picture("max_activation");
    refused("infer", "runtime: {memory: 1KiB}", DCV_ECONFIG, "job.yaml:5:19: one picture on each of 2 threads");
    refused("infer", "infer: {outputs: [logits, logits]}", DCV_ECONFIG, "is there twice");
    refused("max_activation", "max_activation: {layers: [nothing]}", DCV_ECONFIG, "no layer \"nothing\"");
    refused("max_activation", "max_activation: {channels: [9999]}", DCV_ECONFIG, "channel 9999");
    unlink(at("bad.png"));
    unlink(at("job.yaml"));
    rmdir(folder);
    return check_end();
}
