/* The loops that take the time. Vectors are those of GCC and Clang, which turn them into what the machine has: eight
 * numbers are one register of AVX2, two of SSE2, NEON and WebAssembly. On x86-64 each function has a second version for
 * AVX2; a player asks the processor once which one to take. */
#include "zp_internal.h"
#include "zp_math.h"

typedef float v8 __attribute__((vector_size(32)));
typedef double d4 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));
typedef uint32_t u4 __attribute__((vector_size(16)));
typedef uint16_t h4 __attribute__((vector_size(8)));
typedef int8_t b4 __attribute__((vector_size(4)));

#define ZP_NAME(name) name##_base
#define ZP_TARGET
#include "kernels.inc"
#undef ZP_NAME
#undef ZP_TARGET

#if defined(__x86_64__) && !defined(ZP_BASELINE)
#include <cpuid.h>
#include <immintrin.h>

#define ZP_NAME(name) name##_avx2
#define ZP_TARGET __attribute__((target("avx2,fma,f16c")))
#define ZP_F16C 1
#include "kernels.inc"

/* AVX2, FMA and F16C, and an operating system that keeps their registers. */
static int has_avx2(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned wanted = (1u << 12) | (1u << 27) | (1u << 29); /* FMA, OSXSAVE, F16C */
    if ((c & wanted) != wanted) return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 5));
}

const zp_kernels *zp_choose_kernels(void) { return has_avx2() ? &kernels_avx2 : &kernels_base; }
#else
const zp_kernels *zp_choose_kernels(void) { return &kernels_base; }
#endif
