/* What checking and running an operation share: its numbers, and how its weights and its state lie. */
#ifndef ZP_OPERATIONS_H
#define ZP_OPERATIONS_H

#include "zp_internal.h"

#define A(i) (operation->a[i])

static inline const float *table_of(const unsigned char *file, const zp_tensor *tensors, uint32_t index) {
    return index == ZP_NONE ? 0 : (const float *)(file + tensors[index].offset);
}

static inline uint32_t power_of_two(uint32_t at_least) {
    uint32_t size = 1;
    while (size < at_least) size <<= 1;
    return size;
}

/* ---- the graph of an FM synth: six words per operator, in the order in which they are worked out ----
 * phase, multiple, carrier (0 or 1), how many operators modulate it, where in the list they begin, its number */

enum { FM_PHASE, FM_MULTIPLE, FM_CARRIER, FM_MODULATORS, FM_BEGIN, FM_NUMBER, FM_WORDS };
#define FM_MOST 64u

/* ---- states ---- */

typedef struct {
    double turns[ZP_MAX_PHASES];
    double f0_hz[2], pitch_hz[2]; /* of the frame before the present one, and of the one before that */
    uint32_t pitched;             /* whether a pitch has been heard */
} pitch_state;

/* Spectra of the impulse response's pieces, one after the other, each `padded` real and as many imaginary numbers. */
typedef struct {
    uint32_t pieces, size, padded;
} reverb_shape;

static inline reverb_shape reverb_of(uint32_t taps, uint32_t hop) {
    reverb_shape shape;
    shape.size = power_of_two(2 * hop < 16 ? 16 : 2 * hop);
    shape.pieces = (taps + hop - 1) / hop;
    shape.padded = (uint32_t)zp_up(shape.size / 2 + 1, 8);
    return shape;
}

#endif
