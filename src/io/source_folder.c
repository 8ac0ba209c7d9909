/* source_folder.c -- a folder of pictures, to any depth, by file extension.
 *
 * Hidden files and folders are left out.  Links are followed, but never into a folder that we are in.
 * Names are relative to the folder; the class of labels: folder is the folder that a picture lies in.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "deconvoy/stop.h"
#include "io/source.h"

enum { MAX_DEPTH = 64, MAX_PATH = 4096 };

typedef struct level { /* a folder that we are in */
    const struct level *up;
    dev_t dev;
    ino_t ino;
    int depth;
} level;

typedef struct walk {
    dcv_source *s;
    char path[MAX_PATH]; /* of the folder or file at hand, relative to the source */
    size_t n;
} walk;

static dcv_status walk_folder(walk *w, int fd, const level *up);

static dcv_status unreadable(const walk *w)
{
    return dcv_fail(DCV_ENOINPUT, "%s/%s: %s", w->s->shown, w->path, strerror(errno));
}

static dcv_status enter(walk *w, int parent, const char *name, const struct stat *info, const level *up)
{
    for (const level *l = up; l; l = l->up)
        if (l->dev == info->st_dev && l->ino == info->st_ino)
            return DCV_OK;
    if (up->depth == MAX_DEPTH)
        return dcv_fail(DCV_EDATA, "%s/%s: folders deeper than %d", w->s->shown, w->path, MAX_DEPTH);
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return unreadable(w);
    const level here = {up, info->st_dev, info->st_ino, up->depth + 1};
    return walk_folder(w, fd, &here);
}

/* One name in a folder.  A link that leads nowhere counts as a picture that cannot be read. */
static dcv_status visit(walk *w, int parent, const char *name, const level *up)
{
    struct stat info;
    const bool picture = dcv_extension_is(name, DCV_PICTURE_EXTENSIONS);
    if (fstatat(parent, name, &info, 0) != 0)
        return picture ? dcv_manifest_add(&w->s->m, w->path, w->n, 0, 0) : DCV_OK;
    if (S_ISDIR(info.st_mode))
        return enter(w, parent, name, &info, up);
    if (!picture || !S_ISREG(info.st_mode))
        return DCV_OK;
    return dcv_manifest_add(&w->s->m, w->path, w->n, info.st_size,
                            (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec);
}

/* Takes fd over. */
static dcv_status walk_folder(walk *w, int fd, const level *here)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return unreadable(w);
    }
    dcv_status st = DCV_OK;
    const size_t n = w->n;
    for (struct dirent *e; st == DCV_OK && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        st = dcv_stop_check("reading the data set");
        if (st != DCV_OK)
            break;
        const int more = snprintf(w->path + n, sizeof w->path - n, "%s%s", n ? "/" : "", e->d_name);
        if (more < 0 || (size_t)more >= sizeof w->path - n) {
            st = dcv_fail(DCV_EDATA, "%s: a path of more than %d bytes", w->s->shown, MAX_PATH - 1);
            break;
        }
        w->n = n + (size_t)more;
        st = visit(w, fd, e->d_name, here);
    }
    w->n = n;
    w->path[n] = 0;
    closedir(dir);
    return st;
}

static dcv_status folder_open(dcv_source *s, const dcv_source_ask *ask)
{
    struct stat info;
    (void)ask;
    s->content = DCV_CONTENT_ENCODED;
    walk *w = dcv_alloc(1, sizeof *w);
    if (!w)
        return DCV_ENOMEM;
    w->s = s;
    const int fd = open(s->file, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dcv_status st = DCV_OK;
    if (fd < 0 || fstat(fd, &info) != 0)
        st = dcv_fail(DCV_ENOINPUT, "%s: %s", s->shown, strerror(errno));
    else {
        const level top = {NULL, info.st_dev, info.st_ino, 0};
        st = walk_folder(w, fd, &top);
    }
    dcv_free(w);
    return st == DCV_OK ? dcv_manifest_sort(&s->m) : st;
}

static void folder_file(const dcv_source *s, int64_t i, char *buf, size_t n)
{
    snprintf(buf, n, "%s/%s", s->file, s->m.entry[i].name);
}

static dcv_status folder_fetch(const dcv_source *s, int64_t i, int64_t most, uint8_t **bytes, size_t *n)
{
    char file[2 * MAX_PATH];
    folder_file(s, i, file, sizeof file);
    return dcv_read_item_file(file, s->m.entry[i].name, most, bytes, n);
}

const dcv_source_kind dcv_source_folder = {
    .name = "a folder",
    .folder = true,
    .open = folder_open,
    .fetch = folder_fetch,
    .file_of = folder_file,
};
