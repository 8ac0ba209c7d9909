/* orphans.c -- see orphans.h.
 *
 * A segment carries no process number, so all processes are asked for what they map.  One that cannot be looked into is
 * another user's, or no rank of MPI (init, daemons with privileges), and segments are mode 600.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/orphans.h"

#define FOLDER "/dev/shm"
#define PREFIX "vader_segment."
#define AGE_S  60
#define MOST   256

typedef struct segments {
    char name[MOST][128];
    bool used[MOST];
    int n;
} segments;

static void find(segments *s)
{
    DIR *d = opendir(FOLDER);
    struct stat about;
    s->n = 0;
    for (struct dirent *e; d && s->n < MOST && (e = readdir(d));) {
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) || strlen(e->d_name) >= sizeof s->name[0] ||
            fstatat(dirfd(d), e->d_name, &about, AT_SYMLINK_NOFOLLOW))
            continue;
        if (!S_ISREG(about.st_mode) || about.st_uid != geteuid() || time(NULL) - about.st_mtime < AGE_S)
            continue;
        s->used[s->n] = false;
        snprintf(s->name[s->n++], sizeof s->name[0], "%s", e->d_name);
    }
    if (d)
        closedir(d);
}

static void ask(const char *pid, segments *s)
{
    char path[288], line[512];
    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return;
    while (fgets(line, sizeof line, f))
        for (int i = 0; strstr(line, FOLDER "/" PREFIX) && i < s->n; i++)
            s->used[i] = s->used[i] || strstr(line, s->name[i]);
    fclose(f);
}

void orphans_remove(void)
{
    static segments s;
    find(&s);
    DIR *d = s.n ? opendir("/proc") : NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        if (isdigit((unsigned char)e->d_name[0]))
            ask(e->d_name, &s);
    if (!d)
        return;
    closedir(d);
    char path[256];
    for (int i = 0; i < s.n; i++)
        if (!s.used[i]) {
            snprintf(path, sizeof path, FOLDER "/%s", s.name[i]);
            unlink(path);
        }
}
