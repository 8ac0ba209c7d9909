/* page.h -- index.html: a report as one page that stands alone.
 *
 * All pictures and texts of the report are inside it; it asks for no network and no script.
 */
#ifndef DCV_REPORT_PAGE_H
#define DCV_REPORT_PAGE_H

#include "report/reporter.h"

/* Write index.html into the report's folder: what was run and on what, the files in the order in which they were
 * written, the failed items, the configuration and the data sets.  DCV_EDATA, DCV_EIO, DCV_ENOMEM. */
dcv_status dcv_report_page(const dcv_report_in *in) DCV_MUST_USE;

#endif
