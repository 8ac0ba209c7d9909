/* yaml.h -- YAML text to a tree with the line and column of every key and value.
 *
 * One document, UTF-8 (a BOM and CRLF are fine), at most 1 MiB, 16 levels below the root and 100,000 values.
 * Duplicate keys, anchors, aliases, merge keys, tags and further documents are refused.  All failures are
 * DCV_ECONFIG with FILE:LINE:COLUMN.  Local.
 */
#ifndef DCV_IO_YAML_H
#define DCV_IO_YAML_H

#include "deconvoy/tree.h"

#define DCV_YAML_MAX_BYTES  (1 << 20)
#define DCV_YAML_MAX_LEVEL  16
#define DCV_YAML_MAX_VALUES 100000

/* Read a file.  *out is NULL for an empty document.  DCV_ENOINPUT if the file cannot be opened, DCV_EIO. */
dcv_status dcv_yaml_read(const char *file, dcv_arena *arena, dcv_tree **out) DCV_MUST_USE;

/* Read text of bytes.  lines: places have lines and columns, else source alone (a command-line argument).  The tree is
 * in arena, with its own copies of texts and source. */
dcv_status dcv_yaml_parse(const char *text, size_t bytes, const char *source, bool lines, dcv_arena *arena,
                          dcv_tree **out) DCV_MUST_USE;

#endif
