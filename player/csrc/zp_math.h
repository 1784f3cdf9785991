/* Elementary functions in float32, each to a few units in the last place, without libm: the same bits on every machine
 * with IEEE arithmetic, and loops over them that a compiler turns into vector code. Polynomials were fitted by
 * Chebyshev interpolation of the functions in float64. */
#ifndef ZP_MATH_H
#define ZP_MATH_H

#include <stdint.h>

static inline float zp_bits(uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t zp_word(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Nearest integer, for |x| < 2^22. Adding and subtracting 1.5 * 2^23 rounds in the current mode, to nearest. */
static inline float zp_round(float x) {
    const float shift = 12582912.0f;
    float moved = x + shift;
    return moved - shift;
}

static inline double zp_round_double(double x) {
    const double shift = 6755399441055744.0;
    double moved = x + shift;
    return moved - shift;
}

static inline float zp_exp(float x) {
    x = x > -87.0f ? x : -87.0f; /* in this order NaN becomes -87 */
    x = x < 88.0f ? x : 88.0f;
    float moved = x * 1.44269504f + 12582912.0f; /* as in zp_round: the integer is in the low bits, too */
    float n = moved - 12582912.0f;
    float r = x - n * 0.693145752f - n * 1.42860677e-6f;
    float p = 1.0f +
              r * (1.0f + r * (0.5f + r * (0.16666667f + r * (0.0416666667f + r * (0.00833336f + r * 0.00139485808f)))));
    return p * zp_bits((zp_word(moved) + 127u) << 23);
}

/* log(1 + z) for z in [0, 1], with relative precision near 0. */
static inline float zp_log1p(float z) {
    float p = -0.00325637848f;
    p = p * z + 0.019907161f;
    p = p * z - 0.0570642008f;
    p = p * z + 0.106142647f;
    p = p * z - 0.153118631f;
    p = p * z + 0.196781173f;
    p = p * z - 0.249545589f;
    p = p * z + 0.33330004f;
    p = p * z - 0.49999904f;
    p = p * z + 0.999999995f;
    return p * z;
}

static inline float zp_sigmoid(float x) {
    float z = zp_exp(x < 0 ? x : -x);
    float small = z / (1.0f + z);
    return x < 0 ? small : 1.0f - small;
}

static inline float zp_tanh(float x) {
    float magnitude = x < 0 ? -x : x;
    float z = zp_exp(-2.0f * magnitude);
    float large = (1.0f - z) / (1.0f + z);
    float square = x * x;
    float small = magnitude * (1.0f + square * (-0.333333333f + square * (0.133333333f - square * 0.0539682540f)));
    float value = magnitude < 0.15f ? small : large;
    return x < 0 ? -value : value;
}

/* 2 sigmoid(x)^ln(10) + 1e-7 (Engel et al., 2020, equation 5), through the logarithm of the sigmoid. */
static inline float zp_scale(float x) {
    float rest = zp_log1p(zp_exp(x < 0 ? x : -x));
    float log_sigmoid = (x < 0 ? x : 0.0f) - rest;
    return 2.0f * zp_exp(2.30258509f * log_sigmoid) + 1e-7f;
}

/* The exact GELU, x (1 + erf(x / sqrt(2))) / 2. */
static inline float zp_gelu(float x) {
    float y = x * 0.707106781f;
    float a = y < 0 ? -y : y;
    float u = a * a;
    float near = -9.67359062e-06f;
    near = near * u + 0.000112682538f;
    near = near * u - 0.000848439654f;
    near = near * u + 0.00522105341f;
    near = near * u - 0.0268654383f;
    near = near * u + 0.112837826f;
    near = near * u - 0.376126385f;
    near = near * u + 1.12837917f;
    near = near * a;
    float b = a > 4.2f ? 4.2f : a;
    float t = 1.0f / (1.0f + 0.5f * b);
    float far = 0.0171416502f;
    far = far * t + 0.0514297201f;
    far = far * t - 0.354471563f;
    far = far * t + 0.449622276f;
    far = far * t - 0.0350569591f;
    far = far * t + 0.321564376f;
    far = far * t + 0.265910652f;
    far = far * t + 0.28407622f;
    far = far * t - 0.000105416059f;
    far = far * zp_exp(-b * b); /* erfc(a) */
    far = a > 4.2f ? 0.0f : far;
    /* x < 0: x erfc(a) / 2, which keeps its digits where 1 + erf would lose them */
    float complement = a < 1.0f ? 1.0f - near : far;
    return 0.5f * x * (x < 0 ? complement : 2.0f - complement);
}

/* sin(2 pi x) for x in turns, |x| < 2^22. */
static inline float zp_sin_turns(float x) {
    x = x - zp_round(x); /* -0.5 .. 0.5 */
    x = x > 0.25f ? 0.5f - x : (x < -0.25f ? -0.5f - x : x);
    float u = x * x;
    float p = -14.3941353f;
    p = p * u + 42.0098057f;
    p = p * u - 76.7042813f;
    p = p * u + 81.6052262f;
    p = p * u - 41.3417021f;
    p = p * u + 6.28318531f;
    return p * x;
}

static inline double zp_sin_turns_double(double x) {
    x = x - zp_round_double(x);
    x = x > 0.25 ? 0.5 - x : (x < -0.25 ? -0.5 - x : x);
    double u = x * x;
    double p = 0.13265097401754067;
    p = p * u - 0.72463390498197899;
    p = p * u + 3.8205133413405563;
    p = p * u - 15.094665886253742;
    p = p * u + 42.058694417369274;
    p = p * u - 76.705859756924369;
    p = p * u + 81.605249276075341;
    p = p * u - 41.341702240399663;
    p = p * u + 6.2831853071795889;
    return p * x;
}

/* log2(x) for positive x, in float64: pitch to MIDI. */
static inline double zp_log2(double x) {
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    int exponent = (int)((bits >> 52) & 0x7ff) - 1023;
    bits = (bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
    double m;
    __builtin_memcpy(&m, &bits, sizeof m); /* 1 .. 2 */
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent += 1;
    }
    double z = (m - 1.0) / (m + 1.0), u = z * z; /* log(m) = 2 atanh(z), |z| < 0.172 */
    double p = 1.0 / 17;
    p = p * u + 1.0 / 15;
    p = p * u + 1.0 / 13;
    p = p * u + 1.0 / 11;
    p = p * u + 1.0 / 9;
    p = p * u + 1.0 / 7;
    p = p * u + 1.0 / 5;
    p = p * u + 1.0 / 3;
    p = p * u + 1.0;
    return exponent + 2.0 * z * p * 1.4426950408889634;
}

/* Finite means: exponent bits are not all ones. Never by comparison, which -ffast-math would take for settled. */
static inline int zp_finite(float x) { return (zp_word(x) & 0x7f800000u) != 0x7f800000u; }

static inline int zp_nan(float x) { return (zp_word(x) & 0x7fffffffu) > 0x7f800000u; }

#endif
