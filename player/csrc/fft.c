/* A plain radix-2 FFT for powers of two: two of them per frame and reverb, of twice the hop. */
#include "zp_internal.h"
#include "zp_math.h"

void zp_twiddles(float *twiddles, uint32_t size) {
    for (uint32_t i = 0; i < size / 2; i++) {
        double turns = (double)i / size;
        twiddles[2 * i] = (float)zp_sin_turns_double(turns + 0.25);
        twiddles[2 * i + 1] = (float)-zp_sin_turns_double(turns);
    }
}

void zp_fft(float *re, float *im, const float *twiddles, uint32_t size, int inverse) {
    for (uint32_t i = 1, j = 0; i < size; i++) {
        uint32_t bit = size >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) {
            float r = re[i], m = im[i];
            re[i] = re[j], im[i] = im[j];
            re[j] = r, im[j] = m;
        }
    }
    const float sign = inverse ? -1.0f : 1.0f;
    for (uint32_t half = 1; half < size; half <<= 1) {
        uint32_t stride = size / (2 * half);
        for (uint32_t begin = 0; begin < size; begin += 2 * half) {
            for (uint32_t k = 0; k < half; k++) {
                float wr = twiddles[2 * k * stride], wi = sign * twiddles[2 * k * stride + 1];
                uint32_t a = begin + k, b = a + half;
                float r = re[b] * wr - im[b] * wi, m = re[b] * wi + im[b] * wr;
                re[b] = re[a] - r, im[b] = im[a] - m;
                re[a] += r, im[a] += m;
            }
        }
    }
}
