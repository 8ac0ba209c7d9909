/* faults.c -- see faults.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deconvoy/journal.h"
#include "deconvoy/memory.h"
#include "runtime/faults.h"
#include "runtime/file.h"

#define STACK_BYTES (64 << 10) /* the frames of a handler hold all vector registers */

static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { N_CAUGHT = sizeof caught / sizeof *caught };

static struct sigaction before[N_CAUGHT];
static volatile int fault_fd = -1;
static char plan_text[DCV_RECORD_TEXT];

static _Thread_local struct {
    volatile int phase;
    volatile int64_t unit;
    void *stack;
} mine = {.phase = -1};

static char *name(const dcv_output *o)
{
    return dcv_format("%s.journal.faults", o->final);
}

static uint32_t crc_of(const dcv_record *r)
{
    return dcv_crc32c(0, &r->kind, sizeof *r - offsetof(dcv_record, kind));
}

/* Only calls that a handler may make.  One write of 64 bytes to a file opened for appending is whole or absent. */
static void on_fault(int number)
{
    if (mine.phase >= 0 && fault_fd >= 0) {
        dcv_record r = {.kind = DCV_RECORD_FAULT, .phase = (uint16_t)mine.phase, .a = mine.unit, .b = number};
        memcpy(r.text, plan_text, sizeof r.text);
        r.crc = crc_of(&r);
        if (write(fault_fd, &r, sizeof r) < 0)
            fault_fd = -1;
    }
    signal(number, SIG_DFL);
    raise(number);
}

dcv_status faults_watch(const dcv_output *o, const dcv_sha256 *plan)
{
    char *file = name(o);
    if (!file)
        return DCV_ENOMEM;
    memcpy(plan_text, plan->hex, sizeof plan_text);
    (void)dcv_crc32c(0, plan_text, sizeof plan_text); /* tables are made now, not in a handler */
    fault_fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const dcv_status st = fault_fd < 0 ? dcv_fail(DCV_EIO, "%s: %s", file, strerror(errno)) : DCV_OK;
    dcv_free(file);
    struct sigaction a = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigemptyset(&a.sa_mask);
    for (int i = 0; st == DCV_OK && i < N_CAUGHT; i++)
        sigaction(caught[i], &a, &before[i]);
    return st;
}

void faults_unwatch(void)
{
    if (fault_fd < 0)
        return;
    for (int i = 0; i < N_CAUGHT; i++)
        sigaction(caught[i], &before[i], NULL);
    close(fault_fd);
    fault_fd = -1;
}

void faults_unit(int phase, int64_t unit)
{
    if (!mine.stack) {
        mine.stack = dcv_alloc(1, STACK_BYTES);
        const stack_t s = {.ss_sp = mine.stack, .ss_size = STACK_BYTES};
        if (mine.stack)
            sigaltstack(&s, NULL);
    }
    mine.unit = unit;
    mine.phase = phase;
}

void faults_thread_end(void)
{
    const stack_t off = {.ss_flags = SS_DISABLE};
    if (mine.stack)
        sigaltstack(&off, NULL);
    dcv_free(mine.stack);
    mine.stack = NULL;
}

/* --- What there was ---------------------------------------------------------------- */

static dcv_status count(fault_list *l, const dcv_record *r)
{
    for (int i = 0; i < l->n; i++)
        if (l->at[i].phase == r->phase && l->at[i].unit == r->a) {
            l->at[i].times++;
            return DCV_OK;
        }
    fault *grown = dcv_realloc(l->at, (size_t)l->n, (size_t)l->n + 1, sizeof *grown);
    if (!grown)
        return DCV_ENOMEM;
    l->at = grown;
    l->at[l->n++] = (fault){r->phase, (int32_t)r->b, r->a, 1};
    return DCV_OK;
}

static void keep_verdicts(fault_list *l)
{
    int32_t n = 0;
    for (int i = 0; i < l->n; i++)
        if (l->at[i].times >= FAULT_TIMES)
            l->at[n++] = l->at[i];
    l->n = n;
}

dcv_status faults_read(const dcv_output *o, const dcv_sha256 *plan, fault_list *out)
{
    *out = (fault_list){NULL, 0};
    char *file = name(o);
    const int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    dcv_free(file);
    struct stat about;
    if (fd < 0 || fstat(fd, &about)) {
        if (fd >= 0)
            close(fd);
        return DCV_OK;
    }
    dcv_status st = DCV_OK;
    dcv_record r;
    for (int64_t at = 0; st == DCV_OK && at + (int64_t)sizeof r <= about.st_size; at += sizeof r)
        if (!file_read(fd, &r, sizeof r, at) && r.crc == crc_of(&r) && r.kind == DCV_RECORD_FAULT &&
            !memcmp(r.text, plan->hex, sizeof r.text))
            st = count(out, &r);
    close(fd);
    keep_verdicts(out);
    return st;
}

const char *faults_verdict(const fault_list *l, int phase, int64_t unit, fault_text buf)
{
    for (int i = 0; i < l->n; i++)
        if (l->at[i].phase == phase && l->at[i].unit == unit) {
            snprintf(buf, sizeof(fault_text), "computing it ended the process %d times (%s)", FAULT_TIMES,
                     sigabbrev_np(l->at[i].signal) ? sigabbrev_np(l->at[i].signal) : "?");
            return buf;
        }
    return NULL;
}

void faults_remove(const dcv_output *o)
{
    char *file = name(o);
    if (file)
        unlink(file);
    dcv_free(file);
}
