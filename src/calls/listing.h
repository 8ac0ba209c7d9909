/* listing.h -- what inspect knows of a model, before it is printed. */
#ifndef DCV_CALLS_LISTING_H
#define DCV_CALLS_LISTING_H

#include "calls/inspect.h"
#include "deconvoy/graph.h"

enum { DCV_UNKNOWN = -1, DCV_LISTING_AXES = 3 };

/* Receptive field along one axis of the first input: cell i of a value sees size px from offset + i stride on. */
typedef struct dcv_cell_field {
    bool known;
    int64_t size;
    double stride, offset;
} dcv_cell_field;

typedef struct dcv_row { /* a node */
    const char *name, *op, *output;
    bool folded; /* constants alone decide it */
    bool layer;  /* of `layers: all` */
    bool shaped;
    dcv_dims dims;            /* DCV_UNKNOWN where an extent depends on the input's */
    int64_t parameters, macs; /* DCV_UNKNOWN likewise */
    int n_axes;
    dcv_cell_field field[DCV_LISTING_AXES];
    unsigned methods; /* bits, see dcv_listing_method() */
} dcv_row;

/* Which jobs can be asked about values of a graph, which must outlive it. */
typedef struct dcv_uses dcv_uses;
dcv_status dcv_uses_new(const dcv_graph *g, dcv_uses **out) DCV_MUST_USE;
void dcv_uses_free(dcv_uses *u);                /* NULL is allowed */
unsigned dcv_uses_of(const dcv_uses *u, int v); /* bits, see dcv_listing_method() */

typedef struct dcv_listing {
    const dcv_inspect *o;
    dcv_model *model;
    dcv_graph *g, *other;   /* NULL: has an operator that we do not have; other: built for a second size, or NULL */
    int *live, *other_live; /* of each model node: its node there, or -1 */
    bool *seen;             /* of each value, or constant: counted as parameters */
    dcv_uses *uses;         /* NULL where g is */
    int n;
    dcv_row *row;
    int64_t parameters, macs;
} dcv_listing;

/* Job kind whose bit in dcv_row.methods is i; NULL past the last. */
const char *dcv_listing_method(int i);

/* Field of value v along a spatial axis, from the clipped boxes of all its cells.  Not known where the input or the
 * value is too large for that. */
dcv_status dcv_field_along(const dcv_graph *g, int v, int axis, dcv_cell_field *out) DCV_MUST_USE;

dcv_status dcv_listing_text(const dcv_listing *l, FILE *to) DCV_MUST_USE;
dcv_status dcv_listing_json(const dcv_listing *l, FILE *to) DCV_MUST_USE;

#endif
