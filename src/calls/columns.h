/* columns.h -- lines of cells, printed under each other. */
#ifndef DCV_CALLS_COLUMNS_H
#define DCV_CALLS_COLUMNS_H

#include <stdint.h>
#include <stdio.h>
#include "core/text.h"

/* Add a cell to the line that is being written; control characters become '?', nothing becomes "-". */
void dcv_cell(dcv_text *t, const char *fmt, ...) DCV_PRINTF(2, 3);
void dcv_cell_count(dcv_text *t, int64_t n);  /* 1,235,496; "?" where n < 0 */
void dcv_cell_amount(dcv_text *t, int64_t n); /* 349 M; "?" where n < 0 */
void dcv_cell_end(dcv_text *t);               /* of the line */

/* Print the lines, each column as wide as its widest cell.  align: a letter a column, 'l' or 'r'.  Frees t's
 * text.  DCV_ENOMEM. */
dcv_status dcv_columns_print(FILE *to, dcv_text *t, const char *align) DCV_MUST_USE;

#endif
