/* slab_bytes THREADS: transforms of a few frames over all ranks; rank 0 prints a CRC of every byte that came out, and
 * the sums. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "deblur/slab/slab.h"
#include "deconvoy/hash.h"
#include "deconvoy/memory.h"

typedef struct job {
    slab *s;
    double *crc; /* [channels][m0]: of each plane */
} job;

static void fill(void *ctx, const slab_row *r)
{
    const slab *s = ((job *)ctx)->s;
    const int64_t first = ((r->channel * s->shape.m[0] + r->i0) * s->shape.m[1] + r->i1) * s->shape.m[2];
    for (int64_t i = 0; i < s->shape.m[2]; i++)
        r->at[i] = (real)((double)((((uint64_t)(first + i) + 1) * 0x9e3779b97f4a7c15u) >> 40) / (1 << 24));
}

static void filter(void *ctx, const slab_batch *b)
{
    const slab *s = ((job *)ctx)->s;
    for (int64_t i = 0; i < b->n; i++)
        for (int l = 0; l < SLAB_LANES && b->first + l < s->n_columns; l++) {
            real *v = &b->at[i * PAIR + l];
            *v *= (real)(1.0 / (double)(1 + b->first + l));
            b->sums[0] += (double)*v * (double)*v;
        }
}

static void look(void *ctx, const slab_row *r)
{
    job *j = ctx;
    double *crc = &j->crc[r->channel * j->s->shape.m[0] + r->i0];
    *crc = (double)dcv_crc32c((uint32_t)*crc, r->at, (size_t)j->s->shape.m[2] * sizeof *r->at);
    r->sums[0] += (double)r->at[0];
    r->sums[1] += (double)r->at[j->s->shape.m[2] - 1];
}

static void one(const slab_shape *f, group *g, pool *p)
{
    job j;
    double in_columns[SLAB_SUMS], in_planes[SLAB_SUMS];
    const int n = (int)(f->channels * f->m[0]);
    if (slab_new(f, g, p, &j.s) != DCV_OK || !(j.crc = dcv_alloc((size_t)n, sizeof *j.crc)))
        abort();
    slab_planes(j.s, SLAB_FORWARD, fill, &j, NULL);
    slab_columns(j.s, SLAB_FORWARD | SLAB_BACK, filter, &j, in_columns, false);
    slab_planes(j.s, SLAB_BACK, look, &j, in_planes);
    group_max(g, j.crc, n);
    if (group_rank(g) == 0)
        printf("%08x %a %a %a\n", dcv_crc32c(0, j.crc, (size_t)n * sizeof *j.crc), in_columns[0], in_planes[0],
               in_planes[1]);
    dcv_free(j.crc);
    slab_free(j.s);
}

int main(int argc, char **argv)
{
    static const slab_shape shapes[] = {{{60, 1, 75}, 1}, {{7, 1, 8}, 1},   {{1, 1, 300}, 1},
                                        {{3, 20, 64}, 3}, {{13, 9, 10}, 1}, {{200, 1, 3}, 2}};
    group *g;
    pool *p;
    int provided;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    if (argc < 2 || group_new(MPI_Comm_c2f(MPI_COMM_WORLD), &g) != DCV_OK || pool_new(atoi(argv[1]), &p) != DCV_OK)
        return 64;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        one(&shapes[i], g, p);
    pool_free(p);
    group_free(g);
    MPI_Finalize();
    return dcv_alloc_balance() != 0;
}
