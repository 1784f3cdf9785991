/* Operations: what each needs, what its numbers must satisfy, and what its weights alone give.
 *
 * Every number comes from a file that may be hostile: an operation is checked once, before anything runs, so that
 * running needs no check. Registers, tensors and sizes are looked at by the few functions at the top. */
#include "zp_math.h"
#include "zp_operations.h"

static int registers_fit(const zp_context *context, uint32_t first, uint64_t count) {
    return first % 8 == 0 && count <= ZP_MAX_REGISTERS && first + zp_up(count, 8) <= context->header->registers;
}

#define ACTIVATION_COST 16u /* multiply-adds that one value of an activation costs */

static uint64_t product(uint32_t a, uint32_t b) { return (uint64_t)a * b; }

static int size_fits(uint32_t n) { return n > 0 && n <= ZP_MAX_SIZE; }

/* A vector or table of float32 that lies as it is. */
static int table_fits(const zp_context *context, uint32_t index, uint64_t numbers) {
    if (index >= context->header->tensors) return 0;
    const zp_tensor *t = context->tensors + index;
    return t->type == ZP_F32 && !t->packed && (uint64_t)t->rows * t->columns >= numbers;
}

static int words_fit(const zp_context *context, uint32_t index, uint64_t numbers) {
    if (index >= context->header->tensors) return 0;
    const zp_tensor *t = context->tensors + index;
    return t->type == ZP_U32 && !t->packed && (uint64_t)t->rows * t->columns >= numbers;
}

static int matrix_fits(const zp_context *context, uint32_t index, uint32_t rows, uint32_t columns) {
    if (index >= context->header->tensors) return 0;
    const zp_tensor *t = context->tensors + index;
    return t->packed && t->rows == rows && t->columns == columns;
}

static int bias_fits(const zp_context *context, uint32_t index, uint32_t rows) {
    return index == ZP_NONE || table_fits(context, index, rows);
}

static int fm_fits(const zp_context *context, uint32_t index, uint32_t operators) {
    if (operators == 0 || operators > FM_MOST || !words_fit(context, index, (uint64_t)FM_WORDS * operators)) return 0;
    const zp_tensor *t = context->tensors + index;
    const uint32_t *words = (const uint32_t *)(context->file + t->offset);
    uint64_t count = (uint64_t)t->rows * t->columns;
    uint64_t done = 0; /* a bit per operator */
    for (uint32_t i = 0; i < operators; i++) {
        const uint32_t *w = words + FM_WORDS * i;
        if (w[FM_PHASE] >= context->phases || w[FM_MULTIPLE] == 0 || w[FM_MULTIPLE] > 1000 || w[FM_CARRIER] > 1 ||
            w[FM_NUMBER] >= operators || (done >> w[FM_NUMBER] & 1) || w[FM_MODULATORS] > operators ||
            (uint64_t)w[FM_BEGIN] + w[FM_MODULATORS] > count)
            return 0;
        for (uint32_t m = 0; m < w[FM_MODULATORS]; m++) {
            uint32_t other = words[w[FM_BEGIN] + m];
            if (other >= operators || !(done >> other & 1)) return 0; /* each after those that modulate it */
        }
        done |= (uint64_t)1 << w[FM_NUMBER];
    }
    return 1;
}

/* How many modulations a graph that fits has. */
static uint64_t fm_modulators(const zp_context *context, uint32_t index, uint32_t operators) {
    const uint32_t *words = (const uint32_t *)(context->file + context->tensors[index].offset);
    uint64_t count = 0;
    for (uint32_t i = 0; i < operators; i++) count += words[FM_WORDS * i + FM_MODULATORS];
    return count;
}

#define REQUIRE(condition) \
    if (!(condition)) return ZP_OPERATION_FAULT
#define ZP_OPERATION_FAULT ZOO_ERROR_OPERATION

int zp_check_operation(const zp_operation *operation, zp_context *context, zp_needs *needs) {
    const uint32_t hop = context->header->hop;
    *needs = (zp_needs){.work = 16}; /* an operation's own cost */
    switch (operation->code) {
        case ZP_INPUT: /* destination, input, transform */
            REQUIRE(registers_fit(context, A(0), 1) && A(1) < context->header->inputs && A(2) < ZP_TRANSFORMS);
            return 0;
        case ZP_LINEAR: /* destination, source, rows, columns, matrix, bias, activation */
            REQUIRE(size_fits(A(2)) && size_fits(A(3)) && registers_fit(context, A(0), A(2)));
            REQUIRE(registers_fit(context, A(1), A(3)) && matrix_fits(context, A(4), A(2), A(3)));
            REQUIRE(bias_fits(context, A(5), A(2)) && A(6) < ZP_ACTIVATIONS);
            needs->scratch = zp_up(A(2), 8);
            needs->work += product(A(2), A(3)) + ACTIVATION_COST * A(2);
            return 0;
        case ZP_LAYER_NORM: /* destination, source, n, weight, bias, epsilon's bits, activation */
            REQUIRE(size_fits(A(2)) && registers_fit(context, A(0), A(2)) && registers_fit(context, A(1), A(2)));
            REQUIRE(table_fits(context, A(3), A(2)) && table_fits(context, A(4), A(2)) && A(6) < ZP_ACTIVATIONS);
            REQUIRE(zp_finite(zp_bits(A(5))) && zp_bits(A(5)) > 0);
            needs->work += ACTIVATION_COST * A(2);
            return 0;
        case ZP_COPY: /* destination, source, n: may begin anywhere, to join and split vectors */
            REQUIRE(size_fits(A(2)) && (uint64_t)A(0) + A(2) <= context->header->registers);
            REQUIRE((uint64_t)A(1) + A(2) <= context->header->registers);
            needs->work += A(2);
            return 0;
        case ZP_ADD: /* destination, a, b, n */
        case ZP_MULTIPLY:
            REQUIRE(size_fits(A(3)) && registers_fit(context, A(0), A(3)) && registers_fit(context, A(1), A(3)));
            REQUIRE(registers_fit(context, A(2), A(3)));
            needs->work += A(3);
            return 0;
        case ZP_SKIP: /* destination, a, b, n, weight: a + weight b */
            REQUIRE(size_fits(A(3)) && registers_fit(context, A(0), A(3)) && registers_fit(context, A(1), A(3)));
            REQUIRE(registers_fit(context, A(2), A(3)) && table_fits(context, A(4), A(3)));
            needs->work += A(3);
            return 0;
        case ZP_GLU: /* destination, source, n: source has 2 n */
            REQUIRE(size_fits(A(2)) && registers_fit(context, A(0), A(2)));
            REQUIRE(registers_fit(context, A(1), 2 * (uint64_t)A(2)));
            needs->scratch = zp_up(A(2), 8);
            needs->work += ACTIVATION_COST * A(2);
            return 0;
        case ZP_ACTIVATE: /* destination, source, n, activation, add's bits, times' bits */
            REQUIRE(size_fits(A(2)) && registers_fit(context, A(0), A(2)) && registers_fit(context, A(1), A(2)));
            REQUIRE(A(3) < ZP_ACTIVATIONS && zp_finite(zp_bits(A(4))) && zp_finite(zp_bits(A(5))));
            needs->work += ACTIVATION_COST * A(2);
            return 0;
        case ZP_SOFTMAX: /* destination, source, n */
            REQUIRE(size_fits(A(2)) && registers_fit(context, A(0), A(2)) && registers_fit(context, A(1), A(2)));
            needs->work += ACTIVATION_COST * A(2);
            return 0;
        case ZP_GRU: /* destination, source (3 n, the input's part), n, matrix, bias */
            REQUIRE(size_fits(A(2)) && A(2) <= ZP_MAX_SIZE / 3 && registers_fit(context, A(0), A(2)));
            REQUIRE(registers_fit(context, A(1), 3 * (uint64_t)A(2)) && matrix_fits(context, A(3), 3 * A(2), A(2)));
            REQUIRE(bias_fits(context, A(4), 3 * A(2)));
            needs->state = sizeof(float) * zp_up(A(2), 8);
            needs->scratch = zp_up(3 * (uint64_t)A(2), 8);
            needs->work += 3 * product(A(2), A(2)) + 3 * ACTIVATION_COST * A(2);
            return 0;
        case ZP_CONVOLUTION: /* destination, source, rows, inputs, kernel, dilation, matrix, bias, activation */
            REQUIRE(size_fits(A(2)) && size_fits(A(3)) && size_fits(A(4)) && size_fits(A(5)));
            REQUIRE((uint64_t)A(3) * A(4) <= ZP_MAX_SIZE && (uint64_t)(A(4) - 1) * A(5) < ZP_MAX_SIZE);
            REQUIRE(registers_fit(context, A(0), A(2)) && registers_fit(context, A(1), A(3)));
            REQUIRE(matrix_fits(context, A(6), A(2), A(3) * A(4)) && bias_fits(context, A(7), A(2)));
            REQUIRE(A(8) < ZP_ACTIVATIONS);
            needs->state = sizeof(float) * (product(A(4) - 1, A(5)) + 1) * A(3);
            needs->scratch = zp_up(product(A(3), A(4)), 8);
            needs->work += product(A(2), A(3) * A(4)) + 8 * A(4) + ACTIVATION_COST * A(2);
            return 0;
        case ZP_SSM_LOW_RANK: /* destination, source, channels, modes, constants */
        case ZP_SSM_DIAGONAL:
            REQUIRE(size_fits(A(2)) && size_fits(A(3)) && A(3) <= 4096 && registers_fit(context, A(0), A(2)));
            REQUIRE(registers_fit(context, A(1), A(2)));
            REQUIRE(table_fits(context, A(4),
                               (uint64_t)A(2) * zp_up(A(3), 8) * (operation->code == ZP_SSM_LOW_RANK ? 12 : 6)));
            needs->state = sizeof(float) * 2 * A(2) * zp_up(A(3), 8);
            needs->work += A(2) * (16 * zp_up(A(3), 8));
            return 0;
        case ZP_DELAY: /* destination, source, n, frames, repeat: whether the first one stands for those before it */
            REQUIRE(size_fits(A(2)) && registers_fit(context, A(0), A(2)) && registers_fit(context, A(1), A(2)));
            REQUIRE(A(3) > 0 && A(3) <= 1024 && A(4) <= 1);
            needs->state = sizeof(float) * product(A(2), A(3));
            needs->work += A(4) ? product(A(2), A(3)) : A(2);
            return 0;
        case ZP_PITCH: /* f0, pitch before, pitch, pitch after, gate (hop), source, mute, multiples, their table */
            for (int i = 0; i < 4; i++) REQUIRE(registers_fit(context, A(i), 1));
            REQUIRE(registers_fit(context, A(4), hop) && registers_fit(context, A(5), 1) && A(6) <= 1);
            REQUIRE(A(7) > 0 && A(7) <= ZP_MAX_PHASES && table_fits(context, A(8), A(7)) && context->phases == 0);
            context->phases = A(7);
            needs->state = sizeof(pitch_state);
            needs->work += 8 * product(A(7) + 2, hop);
            return 0;
        case ZP_DISTRIBUTION: /* destination, source, n, f0, ceiling, floor's bits: gains that sum to 1 below Nyquist */
            REQUIRE(size_fits(A(2)) && registers_fit(context, A(0), A(2)) && registers_fit(context, A(1), A(2)));
            REQUIRE(registers_fit(context, A(3), 1) && zp_finite(zp_bits(A(5))) && zp_bits(A(5)) >= 0);
            needs->work += ACTIVATION_COST * A(2);
            return 0;
        case ZP_HARMONICS: /* destination (hop), amplitudes, n, gain */
            REQUIRE(registers_fit(context, A(0), hop) && size_fits(A(2)) && registers_fit(context, A(1), A(2)));
            REQUIRE(registers_fit(context, A(3), 1) && context->phases > 0);
            needs->work += product(A(2) + 16, hop + 8);
            return 0;
        case ZP_FM: /* destination (hop), levels before, levels, levels after, operators, graph, times' bits */
            REQUIRE(registers_fit(context, A(0), hop) && A(4) <= FM_MOST && fm_fits(context, A(5), A(4)));
            for (int i = 1; i < 4; i++) REQUIRE(registers_fit(context, A(i), A(4)));
            REQUIRE(zp_finite(zp_bits(A(6))));
            needs->scratch = (A(4) + 2) * zp_up(hop, 8);
            needs->work += (uint64_t)hop * (ACTIVATION_COST * A(4) + fm_modulators(context, A(5), A(4)));
            return 0;
        case ZP_WAVETABLE: /* destination (hop), weights, tables, sines, cosines, harmonics, amplitude, f0,
                            * pitch before, pitch, pitch after, ceiling, mute */
            REQUIRE(registers_fit(context, A(0), hop) && size_fits(A(2)) && registers_fit(context, A(1), A(2)));
            REQUIRE(size_fits(A(5)) && table_fits(context, A(3), (uint64_t)A(2) * A(5)));
            REQUIRE(table_fits(context, A(4), (uint64_t)A(2) * A(5)) && context->phases > 0 && A(12) <= 1);
            for (int i = 6; i < 11; i++) REQUIRE(registers_fit(context, A(i), 1));
            needs->scratch = 2 * zp_up(A(5), 8);
            needs->work += 2 * product(A(2), A(5)) + 16 * A(5) + 2 * product(A(5) + 16, hop + 8);
            return 0;
        case ZP_NOISE: /* destination (hop), magnitudes, bands, design [bands][bands - 1], frames late */
            REQUIRE(registers_fit(context, A(0), hop) && A(2) >= 2 && size_fits(A(2)));
            REQUIRE(registers_fit(context, A(1), A(2)) && matrix_fits(context, A(3), A(2) - 1, A(2)));
            REQUIRE(A(4) <= 1024 && (uint64_t)A(4) * hop >= A(2) - 1);
            needs->state = sizeof(float) * zp_up(product(A(4), hop) + hop + A(2) - 1, 8);
            needs->scratch = zp_up(A(2), 8) + zp_up(2 * (uint64_t)A(2), 8);
            needs->work += product(A(2), A(2)) + 2 * product(A(2), hop) + product(A(4), hop);
            return 0;
        case ZP_NOISE_CROPPED: /* destination (hop), magnitudes, bands, design [bands][hop] */
            REQUIRE(registers_fit(context, A(0), hop) && A(2) >= 2 && size_fits(A(2)));
            REQUIRE(registers_fit(context, A(1), A(2)) && matrix_fits(context, A(3), hop, A(2)));
            needs->scratch = zp_up(hop, 8);
            needs->work += product(hop, A(2)) + product(hop, hop);
            return 0;
        case ZP_HOLD: /* destination, n: what it was in the last frame, once no frame follows */
            REQUIRE(size_fits(A(1)) && registers_fit(context, A(0), A(1)));
            needs->state = sizeof(float) * (uint64_t)A(1);
            needs->work += A(1);
            return 0;
        case ZP_SILENCE: /* destination, n, frames: zero in the first frames */
            REQUIRE(size_fits(A(1)) && registers_fit(context, A(0), A(1)));
            needs->work += A(1);
            return 0;
        case ZP_REVERB: { /* destination (hop), source (hop), taps, impulse response */
            REQUIRE(registers_fit(context, A(0), hop) && registers_fit(context, A(1), hop));
            REQUIRE(A(2) > 0 && A(2) <= (1u << 20) && table_fits(context, A(3), A(2)));
            reverb_shape shape = reverb_of(A(2), hop);
            needs->constants = sizeof(float) * (shape.size + 2 * product(shape.padded, shape.pieces));
            needs->state = sizeof(float) * (zp_up(hop, 8) + 2 * product(shape.padded, shape.pieces) + 8);
            needs->scratch = 2 * (uint64_t)shape.size + 2 * (uint64_t)shape.padded;
            needs->work += 4 * product(shape.padded, shape.pieces) + 64 * (uint64_t)shape.size;
            return 0;
        }
        default:
            return ZOO_ERROR_OPERATION;
    }
}

void zp_prepare_operation(const zp_context *context, const zp_operation *operation, unsigned char *constants,
                          float *scratch) {
    if (operation->code != ZP_REVERB) return;
    const uint32_t hop = context->header->hop, taps = A(2);
    const float *impulse = table_of(context->file, context->tensors, A(3));
    reverb_shape shape = reverb_of(taps, hop);
    float *twiddles = (float *)constants, *spectra = twiddles + shape.size;
    float *re = scratch, *im = scratch + shape.size;
    zp_twiddles(twiddles, shape.size);
    for (uint32_t piece = 0; piece < shape.pieces; piece++) {
        for (uint32_t i = 0; i < shape.size; i++) {
            uint64_t tap = (uint64_t)piece * hop + i;
            re[i] = i < hop && tap < taps ? impulse[tap] : 0.0f;
            im[i] = 0.0f;
        }
        zp_fft(re, im, twiddles, shape.size, 0);
        float *spectrum = spectra + 2 * (size_t)shape.padded * piece;
        for (uint32_t i = 0; i < shape.padded; i++) {
            int inside = i <= shape.size / 2;
            spectrum[i] = inside ? re[i] : 0.0f;
            spectrum[shape.padded + i] = inside ? im[i] : 0.0f;
        }
    }
}
