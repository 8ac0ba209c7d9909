/* before.h -- what a result of `deblur` or `blur` was made from, where that can still be found.
 *
 * A result holds the path of its input as the configuration had it, relative to the configuration's folder, which a
 * result does not know: it is looked for from here, from the result's folder and from up to three above that.
 */
#ifndef DCV_REPORT_BEFORE_H
#define DCV_REPORT_BEFORE_H

#include "report/reporter.h"

typedef struct before_want {
    const char *job;
    int64_t object, objects; /* which of how many */
    int64_t values;          /* of one, channels included */
    int channels;
} before_want;

/* Read the object as it was into to.  False: its input is not there, or not of that shape; nothing is wrong then. */
bool before_read(const dcv_report_in *in, const before_want *w, float *to);

#endif
