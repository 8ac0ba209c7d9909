/* file.h -- whole reads and writes, and directories that are on disk. */
#ifndef DCV_RUNTIME_FILE_H
#define DCV_RUNTIME_FILE_H

#include <stdint.h>
#include "deconvoy/status.h"

/* libcfitsio has functions of these names; it would call ours. */
#define file_read  dcv_file_read
#define file_write dcv_file_write

/* All n bytes at offset, whatever short counts and signals do.  0 or errno (EIO where a file ends early). */
int file_write(int fd, const void *from, int64_t n, int64_t offset);
int file_read(int fd, void *to, int64_t n, int64_t offset);

/* fsync of a folder: renames and new names in it are then on disk.  0 or errno. */
int file_sync_folder(const char *folder);

/* Make a folder and its parents.  DCV_EIO. */
dcv_status file_make_folder(const char *folder) DCV_MUST_USE;

/* Could files be made in this folder, or it itself, as far as permissions tell?  DCV_EIO.  Makes nothing. */
dcv_status file_may_write(const char *folder) DCV_MUST_USE;

/* Text as the whole content of a file, by rename from a temporary one.  DCV_EIO. */
dcv_status file_put_text(const char *file, const char *text) DCV_MUST_USE;

/* The folder part of a path ("." where there is none); new memory. */
char *file_folder(const char *path) DCV_MUST_USE;

/* "1.5 GiB" into buf; returns buf. */
typedef char file_size_text[32];
char *file_size_print(int64_t bytes, file_size_text buf);

double now_s(void); /* monotonic clock */

#endif
