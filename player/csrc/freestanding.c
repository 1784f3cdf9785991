/* What compilers call by themselves and WebAssembly without a C library lacks. */
#if defined(__wasm__)
#include <stddef.h>

/* With bulk memory each is one instruction: the compiler turns these into memory.copy and memory.fill. */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

__attribute__((visibility("hidden"))) void *memcpy(void *to, const void *from, size_t n) {
    __asm__ volatile("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.copy 0, 0" : : "r"(to), "r"(from), "r"(n) : "memory");
    return to;
}

__attribute__((visibility("hidden"))) void *memmove(void *to, const void *from, size_t n) {
    __asm__ volatile("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.copy 0, 0" : : "r"(to), "r"(from), "r"(n) : "memory");
    return to;
}

__attribute__((visibility("hidden"))) void *memset(void *to, int value, size_t n) {
    __asm__ volatile("local.get %0\n\tlocal.get %1\n\tlocal.get %2\n\tmemory.fill 0" : : "r"(to), "r"(value), "r"(n) : "memory");
    return to;
}
#else
typedef int zp_not_empty; /* C has no empty files */
#endif
