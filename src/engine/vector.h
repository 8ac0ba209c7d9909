/* vector.h -- wider vectors where the machine has them. */
#ifndef DCV_ENGINE_VECTOR_H
#define DCV_ENGINE_VECTOR_H

/* Wider vectors where the machine has them; the arithmetic is the same in each (contraction is off). */
#ifndef DCV_CLONES
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&               \
    !defined(__SANITIZE_THREAD__)
#define DCV_CLONES __attribute__((target_clones("arch=skylake-avx512", "avx2", "default")))
#else
#define DCV_CLONES
#endif
#endif

/* Kernels that a cloned function specialises must be inlined into it, or they run with the least instruction set. */
#if defined(__GNUC__)
#define DCV_INLINE static inline __attribute__((always_inline))
#else
#define DCV_INLINE static inline
#endif

/* Before a loop whose iterations do not depend on each other, though its arrays may be the same one. */
#if defined(__GNUC__) && !defined(__clang__)
#define DCV_INDEPENDENT _Pragma("GCC ivdep")
#else
#define DCV_INDEPENDENT
#endif

#endif
