/* log.h -- what is said to people, on stderr.
 *
 * stdout carries only what was asked for.  Only rank 0 of a run speaks; other ranks are
 * quiet but for DCV_LOG_ERROR from dcv_log_error().
 */
#ifndef DECONVOY_LOG_H
#define DECONVOY_LOG_H

#include "deconvoy/status.h"

/* Silence this process but for errors (ranks other than 0). */
void dcv_log_quiet(int quiet);

/* "deconvoy: ..." on stderr, one line, one write. */
void dcv_log_error(const char *fmt, ...) DCV_PRINTF(1, 2);
void dcv_log_warning(const char *fmt, ...) DCV_PRINTF(1, 2);
void dcv_log_info(const char *fmt, ...) DCV_PRINTF(1, 2);

#endif
