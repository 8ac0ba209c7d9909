/* field_check.h -- what the readers of option tables share: is a number or text legal for a field? */
#ifndef DCV_CORE_FIELD_CHECK_H
#define DCV_CORE_FIELD_CHECK_H

#include "deconvoy/field.h"

bool dcv_field_in_range(const dcv_field *f, double v);
bool dcv_field_length_fits(const dcv_field *f, int n);

/* Append to buf; never past n. */
void dcv_append(char *buf, size_t n, const char *fmt, ...) DCV_PRINTF(3, 4);

/* " from 1 to 512", " of at least 1", " above 0" or "". */
void dcv_field_range(const dcv_field *f, char *buf, size_t n);

/* Number as messages and tables spell it: 512, 0.5, 1e-06. */
char *dcv_number_print(double v, char *buf, size_t n);

#endif
