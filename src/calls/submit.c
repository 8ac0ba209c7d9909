/* submit.c -- deconvoy submit CONFIG [--dry-run] [--wait] [--set key.path=VALUE]...
 *
 * The script is #SBATCH lines from `slurm:`, a few variables, and the body of slurm/job.sh, which is built in.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "calls/call.h"
#include "calls/jobconfig.h"
#include "deconvoy/memory.h"
#include "slurm_job.h"

static const char usage[] = "submit CONFIG [--dry-run] [--wait] [--set key.path=VALUE]...";

/* A word of bash that means text, whatever is in it. */
static void quote(FILE *to, const char *text)
{
    fputc('\'', to);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", to);
        else
            fputc(*text, to);
    fputc('\'', to);
}

static void variable(FILE *to, const char *name, const char *text)
{
    fprintf(to, "%s=", name);
    quote(to, text);
    fputc('\n', to);
}

static void option(FILE *to, const char *name, const char *value)
{
    if (value && *value)
        fprintf(to, "#SBATCH --%s=%s\n", name, value);
}

/* The result's path without .h5. */
static int stem_bytes(const char *output)
{
    const size_t n = strlen(output);
    return (int)(n > 3 && !strcmp(output + n - 3, ".h5") ? n - 3 : n);
}

static void write_head(FILE *to, const dcv_config *c, const char *output)
{
    const dcv_slurm_options *s = &c->slurm;
    fputs("#!/bin/bash\n", to);
    fprintf(to, "#SBATCH --job-name=deconvoy-%s\n", c->section->job);
    fprintf(to, "#SBATCH --nodes=%lld --ntasks-per-node=%lld --cpus-per-task=%lld\n", (long long)s->nodes,
            (long long)s->ranks_per_node, (long long)c->runtime.threads);
    option(to, "time", s->time);
    option(to, "partition", s->partition);
    option(to, "account", s->account);
    option(to, "constraint", s->constraint);
    option(to, "mem", s->mem_per_node);
    if (s->array > 0)
        fprintf(to, "#SBATCH --array=0-%lld\n", (long long)s->array - 1);
    fprintf(to, "#SBATCH --output=%.*s.slurm-%%j.log --open-mode=append\n", stem_bytes(output), output);
    fprintf(to, "#SBATCH --requeue --no-kill --signal=B:USR1@%lld\n", (long long)s->grace);
    for (int i = 0; i < s->extra.n; i++)
        fprintf(to, "#SBATCH %s\n", s->extra.v[i]);
}

/* A part of an array writes beside the result that its parts will be joined to. */
static void write_variables(FILE *to, const dcv_config *c, const char *program, const char *config, const char *output,
                            const dcv_arg_texts *sets)
{
    fputc('\n', to);
    for (int i = 0; i < c->slurm.modules.n; i++) {
        fputs("module load ", to);
        quote(to, c->slurm.modules.v[i]);
        fputc('\n', to);
    }
    variable(to, "deconvoy", program);
    variable(to, "config", config);
    variable(to, "output", output);
    fputs("sets=(", to);
    for (int i = 0; i < sets->n; i++) {
        fputs(" --set ", to);
        quote(to, sets->v[i]);
    }
    fputs(" )\n", to);
    if (c->slurm.array > 0)
        fprintf(to,
                "output=${output%%.h5}.$SLURM_ARRAY_TASK_ID.h5 # join them: deconvoy merge\n"
                "sets+=(--set \"output=$output\" --set \"dataset.slice=[$SLURM_ARRAY_TASK_ID, %lld]\")\n",
                (long long)c->slurm.array);
    fprintf(to, "ranks=%lld\nthreads=%lld\nrequeue=%lld\n", (long long)c->slurm.ranks_per_node,
            (long long)c->runtime.threads, (long long)c->slurm.requeue);
    variable(to, "launcher", c->slurm.launcher ? c->slurm.launcher : "mpirun");
    variable(to, "interface", c->slurm.interface ? c->slurm.interface : "");
    fputc('\n', to);
}

/* Texts that stand bare on #SBATCH lines: sbatch takes a blank for the next option, bash a new line for a command. */
static dcv_status check_bare(const dcv_config *c, const char *output)
{
    const dcv_slurm_options *s = &c->slurm;
    const struct {
        const char *key, *text;
    } bare[] = {{"output", output},
                {"slurm.time", s->time},
                {"slurm.partition", s->partition},
                {"slurm.account", s->account},
                {"slurm.constraint", s->constraint},
                {"slurm.mem_per_node", s->mem_per_node}};
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
        for (const char *t = bare[i].text; t && *t; t++)
            if ((unsigned char)*t <= ' ' || *t == 127)
                return dcv_config_fail(c, bare[i].key, "%s has blanks; expected one word, as sbatch takes it",
                                       bare[i].key);
    for (int i = 0; i < s->extra.n; i++)
        for (const char *t = s->extra.v[i]; *t; t++)
            if ((unsigned char)*t < ' ' || *t == 127)
                return dcv_config_fail(c, "slurm.extra", "entry %d has more than one line; expected one option", i);
    return DCV_OK;
}

static char *absolute(const char *path)
{
    char *here = *path == '/' ? NULL : getcwd(NULL, 0);
    char *full = here ? dcv_format("%s/%s", here, path) : dcv_strdup(path);
    free(here);
    return full;
}

static dcv_status write_script(FILE *to, const dcv_config *c, const char *file, const dcv_arg_texts *sets)
{
    char program[4096];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    char *config = absolute(file), *output = absolute(dcv_config_path(c, c->output));
    dcv_status st = config && output ? DCV_OK : DCV_ENOMEM;
    if (st == DCV_OK)
        st = check_bare(c, output);
    if (st == DCV_OK) {
        write_head(to, c, output);
        write_variables(to, c, program, config, output, sets);
        fputs(slurm_job, to);
    }
    dcv_free(config);
    dcv_free(output);
    return st;
}

/* Feed the script to sbatch; its answer, the job's number, goes to stdout as it is. */
static dcv_status give(const dcv_config *c, const char *file, const dcv_arg_texts *sets, bool wait_for, int *exit_code)
{
    signal(SIGPIPE, SIG_IGN);
    FILE *to = popen(wait_for ? "sbatch --parsable --wait" : "sbatch --parsable", "w");
    if (!to)
        return dcv_fail(DCV_EINTERNAL, "sbatch: %s", strerror(errno));
    const dcv_status st = write_script(to, c, file, sets);
    const int code = pclose(to);
    if (st != DCV_OK)
        return st;
    if (WIFEXITED(code) && WEXITSTATUS(code) == 127)
        return dcv_fail(DCV_ENOINPUT,
                        "sbatch: not found; expected Slurm on this machine (--dry-run prints the script)");
    const int exited = WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code);
    if (exited && !wait_for)
        return dcv_fail(DCV_EIO, "sbatch refused the job (exit %d)", exited);
    *exit_code = exited;
    return DCV_OK;
}

static dcv_status run(int argc, char **argv, int *exit_code)
{
    dcv_arg_texts sets = {0};
    bool dry = false, wait_for = false;
    const dcv_arg table[] = {
        {"--dry-run", DCV_ARG_FLAG, &dry}, {"--wait", DCV_ARG_FLAG, &wait_for}, {"--set", DCV_ARG_TEXTS, &sets}, {0}};
    const char *file;
    dcv_config *c = NULL;
    const dcv_job_kind *kind;
    dcv_status st = dcv_args_read(argc, argv, usage, table, &file, 1, 1, NULL);
    if (st == DCV_OK)
        st = dcv_jobconfig_read(file, &sets, &c, &kind);
    if (st == DCV_OK)
        st = dry ? write_script(stdout, c, file, &sets) : give(c, file, &sets, wait_for, exit_code);
    dcv_config_free(c);
    dcv_args_clear(&sets);
    return st;
}

const dcv_call dcv_call_submit = {
    .name = "submit",
    .usage = usage,
    .help = "write the sbatch script of a job and submit it",
    .run = run,
};
