/* missing.c -- an input file that is not there: where it was asked for, and what is there instead. */
#include "deconvoy/config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The name in folder nearest to word, in buf; "" if none is near. */
static const char *nearest_in(const char *folder, const char *word, char *buf, size_t n)
{
    enum { MOST = 4096 };
    const char *best = NULL;
    dcv_arena *arena = NULL;
    const char **name = dcv_alloc(MOST, sizeof *name);
    DIR *dir = opendir(folder);
    size_t count = 0;
    buf[0] = 0;
    if (dir && name && dcv_arena_new(&arena) == DCV_OK) {
        for (struct dirent *e; count < MOST && (e = readdir(dir));)
            if (e->d_name[0] != '.' && (name[count] = dcv_arena_strdup(arena, e->d_name)))
                count++;
        best = dcv_nearest(word, name, count);
        if (best && !strcmp(best, word)) /* a link that leads nowhere */
            best = NULL;
    }
    if (best)
        snprintf(buf, n, "; nearest name there: %s", best);
    if (dir)
        closedir(dir);
    dcv_arena_free(arena);
    dcv_free(name);
    return buf;
}

dcv_status dcv_config_missing(const dcv_config *c, const char *key, const char *file, const char *shown)
{
    const int why = errno;
    char folder[4096], hint[512];
    snprintf(folder, sizeof folder, "%s", file);
    while (strlen(folder) > 1 && folder[strlen(folder) - 1] == '/')
        folder[strlen(folder) - 1] = 0;
    char *slash = strrchr(folder, '/');
    const char *base = slash ? slash + 1 : folder;
    char word[512];
    snprintf(word, sizeof word, "%.500s", base);
    if (slash)
        slash[slash == folder] = 0;
    const char *near = nearest_in(slash ? folder : ".", word, hint, sizeof hint);
    if (c)
        (void)dcv_config_fail(c, key, "%s: %s%s", shown, strerror(why), near);
    else
        (void)dcv_fail(DCV_ENOINPUT, "%s: %s%s", shown, strerror(why), near);
    return DCV_ENOINPUT;
}
