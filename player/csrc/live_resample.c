/* Resampling for live playing: between any two rates that are not too far apart, a sample at a time, without drift. */
#include "zp_live.h"
#include "zp_math.h"

#define MOST_PHASES 512u /* between two of so many phases a straight line is 100 dB exact */
#define CUTOFF 0.94      /* of the lower rate's half */
#define BETA 7.0         /* of the Kaiser window */

static uint32_t common(uint32_t a, uint32_t b) {
    while (b) {
        const uint32_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

ZP_SELDOM static int shape_of(uint32_t from, uint32_t to, uint32_t crossings, zp_resampler *r) {
    if (!from || !to || from / to >= ZP_MOST_PUSHED || to / from >= ZP_MOST_PUSHED - 1) return 0;
    const uint32_t divisor = common(from, to);
    *r = (zp_resampler){.from = from / divisor, .to = to / divisor};
    if (from == to) return 1;
    r->phases = r->to < MOST_PHASES ? r->to : MOST_PHASES;
    const uint64_t reach = ((uint64_t)crossings * (from > to ? from : to) + to - 1) / to;
    r->reach = (uint32_t)zp_up(from > to ? reach : crossings, 4);
    r->taps = 2 * r->reach;
    return 1;
}

ZP_SELDOM uint64_t zp_resampler_floats(uint32_t from, uint32_t to, uint32_t crossings) {
    zp_resampler r;
    return shape_of(from, to, crossings, &r) ? (uint64_t)(r.phases + 3) * r.taps + 1 : 0;
}

ZP_SELDOM static double bessel(double x) { /* I0, by its series */
    double sum = 1, term = 1;
    for (int k = 1; k < 40; k++) {
        term *= x / (2 * k) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

ZP_SELDOM static double root(double x) { /* by Newton's method; 0 .. 1 */
    double y = x > 0 ? 1 : 0;
    for (int i = 0; i < 40 && y > 0; i++) y = 0.5 * (y + x / y);
    return y;
}

ZP_SELDOM void zp_resampler_init(zp_resampler *r, uint32_t from, uint32_t to, uint32_t crossings, float *memory) {
    shape_of(from, to, crossings, r);
    r->table = memory;
    r->past = memory + (size_t)(r->phases + 1) * r->taps;
    const double cutoff = CUTOFF * (from > to ? (double)to / from : 1.0), pi = 3.141592653589793;
    for (uint32_t phase = 0; r->taps && phase <= r->phases; phase++) {
        float *taps = r->table + (size_t)phase * r->taps;
        double sum = 0;
        for (int pass = 0; pass < 2; pass++) /* the sum first: the gain is exactly 1 in every phase */
            for (uint32_t i = 0; i < r->taps; i++) {
                const double t = (double)phase / r->phases + (double)r->reach - 1 - i, u = t / r->reach;
                const double edge = 1 - u * u, x = cutoff * t;
                const double sinc = x * x < 1e-12 ? 1 : zp_sin_turns_double(x / 2) / (pi * x);
                const double tap = edge < 0 ? 0 : sinc * bessel(BETA * root(edge));
                if (pass) taps[i] = (float)(tap / sum);
                else sum += tap;
            }
    }
    zp_resampler_reset(r);
}

ZP_SELDOM void zp_resampler_reset(zp_resampler *r) {
    r->at = r->next = 0;
    for (uint32_t i = 0; i < 2 * r->taps; i++) r->past[i] = 0;
}

static float product(const float *a, const float *b, uint32_t n) { /* n is a multiple of 8 */
    float sums[8] = {0};
    for (uint32_t i = 0; i < n; i += 8)
        for (uint32_t k = 0; k < 8; k++) sums[k] += a[i + k] * b[i + k];
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

uint32_t zp_resampler_push(zp_resampler *r, float sample, float *made) {
    if (!r->taps) {
        *made = sample;
        return 1;
    }
    r->past[r->at] = r->past[r->at + r->taps] = sample;
    if (++r->at == r->taps) r->at = 0;
    uint32_t count = 0;
    for (; r->next < r->to; r->next += r->from) {
        const uint64_t place = (uint64_t)r->next * r->phases;
        const float *taps = r->table + (size_t)(place / r->to) * r->taps, *past = r->past + r->at;
        const float between = (float)(place % r->to) / (float)r->to;
        float value = product(taps, past, r->taps);
        if (between > 0) value += between * (product(taps + r->taps, past, r->taps) - value);
        made[count++] = value;
    }
    r->next -= r->to;
    return count;
}
