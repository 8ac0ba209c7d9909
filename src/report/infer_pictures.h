/* infer_pictures.h -- outputs of networks that are pictures, and class maps, as sheets. */
#ifndef DCV_REPORT_INFER_PICTURES_H
#define DCV_REPORT_INFER_PICTURES_H

#include "report/reporter.h"

/* Draw what there is, *drawn sheets. */
dcv_status infer_pictures_draw(const dcv_report_in *in, int *drawn) DCV_MUST_USE;

#endif
