/* pages.h -- hints to the kernel about large blocks of memory; none can fail in a way that matters. */
#ifndef DCV_ENGINE_PAGES_H
#define DCV_ENGINE_PAGES_H

#include <stddef.h>

/* Memory that will be streamed over and over: large pages spare the TLB.  Before it is first written. */
void dcv_pages_huge(void *p, size_t bytes);

/* Memory that is not read again soon: give it back (pages of a file are merely dropped). */
void dcv_pages_out(const void *p, size_t bytes);

/* Memory that is never read again: whole pages of it are given back (private ones read as 0 from now on). */
void dcv_pages_gone(const void *p, size_t bytes);

#endif
