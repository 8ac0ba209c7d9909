/* real.h -- one source for float32 and float64: files in slab/ and filters/ are compiled twice.
 *
 * External names of such files carry the precision: N(name) is name_f32 or name_f64.
 */
#ifndef DCV_DEBLUR_REAL_H
#define DCV_DEBLUR_REAL_H

#if defined DCV_DEBLUR_F64
typedef double real;
#define N(name)      name##_f64
#define REAL_DTYPE   DCV_F64
#define REAL_C(v)    v
#define REAL_MAX_ADJ 1e-12
#else
typedef float real;
#define N(name)      name##_f32
#define REAL_DTYPE   DCV_F32
#define REAL_C(v)    v##f
#define REAL_MAX_ADJ 1e-5
#endif

typedef struct cplx {
    real re, im;
} cplx;

/* Row loops are compiled for several instruction sets; without fused multiply-adds all give the same bytes. */
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__ && !defined __SANITIZE_ADDRESS__
#define ROW_LOOP __attribute__((target_clones("default", "avx2", "avx512f"), optimize("O3")))
#else
#define ROW_LOOP
#endif

/* Loops over lanes that do not depend on each other, inside functions that are made for one constant each. */
#if defined __GNUC__ && !defined __clang__
#define FULLY_INLINE static inline __attribute__((always_inline))
#define LANE_LOOP    _Pragma("GCC ivdep")
#define UNROLLED     _Pragma("GCC unroll 8")
#define PREFETCH(at) __builtin_prefetch(at)
#else
#define FULLY_INLINE static inline
#define LANE_LOOP
#define UNROLLED
#define PREFETCH(at) ((void)(at))
#endif

#endif
