/* labels.c -- class names: a text file of one class per line. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "deconvoy/memory.h"
#include "deconvoy/model.h"

enum { MOST_BYTES = 1 << 26 };

static dcv_status read_all(int fd, char *to, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t got = read(fd, to + at, n - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dcv_fail(DCV_EIO, "%s", got ? strerror(errno) : "cut off while being read");
        at += (size_t)got;
    }
    return DCV_OK;
}

static dcv_status slurp_fd(int fd, char **out, size_t *n)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return dcv_fail(DCV_EIO, "%s", strerror(errno));
    if (!S_ISREG(s.st_mode))
        return dcv_fail(DCV_EDATA, "%s; a text file of one class per line is expected",
                        S_ISDIR(s.st_mode) ? "is a folder" : "not a regular file");
    if (s.st_size > MOST_BYTES)
        return dcv_fail(DCV_EDATA, "%lld bytes of class names; at most %d are expected", (long long)s.st_size,
                        MOST_BYTES);
    *n = (size_t)s.st_size;
    *out = dcv_alloc(*n + 1, 1);
    return *out ? read_all(fd, *out, *n) : DCV_ENOMEM;
}

static dcv_status slurp(const char *file, char **out, size_t *n)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dcv_fail(DCV_ENOINPUT, "%s", strerror(errno));
    dcv_status st = slurp_fd(fd, out, n);
    close(fd);
    return st;
}

/* Cut text into lines in place; to has room for all.  Returns how many there are up to the last that is not blank. */
static int cut(char *text, char **to)
{
    int n = 0, last = 0;
    for (char *next; text; text = next) {
        next = strchr(text, '\n');
        if (next)
            *next++ = 0;
        size_t length = strlen(text);
        while (length && strchr(" \t\r", text[length - 1]))
            text[--length] = 0;
        to[n++] = text;
        if (length)
            last = n;
    }
    return last;
}

static dcv_status parse(char *text, size_t bytes, dcv_labels *l)
{
    static const char bom[] = "\xef\xbb\xbf";
    const char *nul = memchr(text, 0, bytes);
    size_t lines = 1;
    if (nul)
        return dcv_fail(DCV_EDATA, "byte %zu: not a text file", (size_t)(nul - text));
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    l->line = dcv_alloc(lines + 1, sizeof *l->line);
    if (!l->line)
        return DCV_ENOMEM;
    l->line[lines] = text; /* the memory itself, after the last line */
    l->n = cut(strncmp(text, bom, 3) ? text : text + 3, l->line);
    l->line[l->n] = text;
    return l->n ? DCV_OK : dcv_fail(DCV_EDATA, "no class names; one per line is expected");
}

dcv_status dcv_labels_read(const char *file, dcv_labels **out)
{
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    dcv_labels *l = dcv_alloc(1, sizeof *l);
    if (!l)
        return DCV_ENOMEM;
    dcv_status st = slurp(file, &text, &n);
    if (st == DCV_OK)
        st = parse(text, n, l);
    if (st == DCV_OK) {
        *out = l;
        return DCV_OK;
    }
    dcv_free(text);
    dcv_free(l->line);
    dcv_free(l);
    return dcv_fail_in(st, "%s", file);
}

static bool same(const char *name, const char *line, size_t n)
{
    return strlen(name) == n && strncasecmp(name, line, n) == 0;
}

int dcv_labels_find(const dcv_labels *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (*name && same(name, l->line[i], strlen(l->line[i])))
            return i;
    for (int i = 0; i < l->n; i++)
        if (*name && same(name, l->line[i], strcspn(l->line[i], " \t")))
            return i;
    return -1;
}

void dcv_labels_free(dcv_labels *l)
{
    if (!l)
        return;
    dcv_free(l->line[l->n]);
    dcv_free(l->line);
    dcv_free(l);
}
