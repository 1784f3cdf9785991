/* What each operation does to a frame; operations.c has checked its numbers. */
#include "zp_math.h"
#include "zp_operations.h"

#define R(i) (frame->registers + A(i))
#define TABLE(i) table_of(frame->player->file, frame->player->tensors, A(i))

static float clean_f0(float f0_hz) { return zp_finite(f0_hz) && f0_hz > 0 ? f0_hz : 0.0f; }

static void run_input(const zp_frame *frame, const zp_operation *operation) {
    float value = frame->inputs[A(1)];
    switch (A(2)) {
        case ZP_F0_HZ: {
            float nyquist = (float)frame->sample_rate / 2;
            value = clean_f0(value);
            value = value > nyquist ? nyquist : value;
            break;
        }
        case ZP_F0_MIDI:
            value = clean_f0(value);
            value = value > 0 ? (float)((12.0 * zp_log2((double)value / 440.0) + 69.0) / 127.0) : 0.0f;
            break;
        case ZP_LOUDNESS:
            if (zp_nan(value)) value = -80.0f;
            if (!zp_finite(value)) value = zp_word(value) >> 31 ? -80.0f : 0.0f;
            value = value > 1e6f ? 1e6f : (value < -1e6f ? -1e6f : value); /* so that no square of it is infinite */
            value = value / 80.0f + 1.0f;
            break;
        default:
            if (!zp_finite(value)) value = 0.0f;
    }
    R(0)[0] = value;
}

static void run_layer_norm(const zp_frame *frame, const zp_operation *operation) {
    const zp_kernels *kernels = frame->player->kernels;
    kernels->layer_norm(R(0), R(1), TABLE(3), TABLE(4), A(2), zp_bits(A(5)));
    if (A(6)) kernels->activate(R(0), R(0), A(2), A(6), 0, 1);
}

static void run_softmax(const zp_frame *frame, const zp_operation *operation) {
    const float *x = R(1);
    float *y = R(0), highest = x[0], sum = 0;
    for (uint32_t i = 1; i < A(2); i++) highest = x[i] > highest ? x[i] : highest;
    for (uint32_t i = 0; i < A(2); i++) sum += y[i] = zp_exp(x[i] - highest);
    for (uint32_t i = 0; i < A(2); i++) y[i] /= sum;
}

static void run_gru(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t n = A(2);
    const float *from_input = R(1);
    float *h = (float *)frame->state, *y = R(0), *own = frame->scratch;
    const zp_kernels *kernels = frame->player->kernels;
    kernels->matrix_vector(frame->player->tensors + A(3), frame->player->file, h, TABLE(4), own);
    for (uint32_t i = 0; i < 2 * n; i++) own[i] += from_input[i];
    kernels->activate(own, own, 2 * n, ZP_SIGMOID, 0, 1); /* reset, then update */
    for (uint32_t i = 0; i < n; i++) own[2 * n + i] = from_input[2 * n + i] + own[i] * own[2 * n + i];
    kernels->activate(own + 2 * n, own + 2 * n, n, ZP_TANH, 0, 1);
    for (uint32_t i = 0; i < n; i++) y[i] = h[i] = own[2 * n + i] + own[n + i] * (h[i] - own[2 * n + i]);
}

static void run_convolution(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t rows = A(2), inputs = A(3), kernel = A(4), dilation = A(5), length = (kernel - 1) * dilation + 1;
    float *ring = (float *)frame->state;
    const uint32_t now = (uint32_t)(frame->frame % length);
    const float *x = R(1);
    for (uint32_t i = 0; i < inputs; i++) ring[(size_t)now * inputs + i] = x[i];
    for (uint32_t tap = 0; tap < kernel; tap++) { /* oldest first */
        uint32_t back = (kernel - 1 - tap) * dilation;
        const float *past = ring + (size_t)((now + length - back) % length) * inputs;
        __builtin_memcpy(frame->scratch + (size_t)tap * inputs, past, sizeof(float) * inputs);
    }
    const zp_kernels *kernels = frame->player->kernels;
    kernels->matrix_vector(frame->player->tensors + A(6), frame->player->file, frame->scratch, TABLE(7), R(0));
    if (A(8)) kernels->activate(R(0), R(0), rows, A(8), 0, 1);
}

static void run_delay(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t n = A(2), frames = A(3);
    float *ring = (float *)frame->state + (size_t)(frame->frame % frames) * n;
    const float *x = R(1);
    float *y = R(0);
    const int first = frame->frame == 0 && A(4);
    if (first)
        for (uint32_t k = 0; k < frames; k++)
            for (uint32_t i = 0; i < n; i++) ((float *)frame->state)[(size_t)k * n + i] = x[i];
    for (uint32_t i = 0; i < n; i++) {
        float now = x[i]; /* source and destination may be the same */
        y[i] = ring[i];
        ring[i] = now;
    }
}

/* The pitch of the frame before this one, whose neighbours are known now: a contour that is straight between the
 * frames' centres, summed to phases in float64. Unvoiced frames keep the last pitch (the first one, those before it),
 * and are silent by the gate, which fades over the voiced frame at each border. */
static void run_pitch(const zp_frame *frame, const zp_operation *operation) {
    pitch_state *s = (pitch_state *)frame->state;
    const uint32_t hop = frame->hop, count = A(7);
    const int mute = (int)A(6);
    const double rate = frame->sample_rate;
    const float *multiples = TABLE(8);
    double f0 = R(5)[0], pitch = f0;
    if (mute && f0 <= 0) pitch = frame->frame ? s->pitch_hz[0] : 0.0;
    if (frame->frame == 0) s->f0_hz[0] = s->f0_hz[1] = f0, s->pitch_hz[0] = s->pitch_hz[1] = pitch;
    if (mute && !s->pitched && pitch > 0) {
        s->pitched = 1;
        if (frame->frame > 0) { /* the first pitch holds for all before it, so the phases have come so far by now */
            s->pitch_hz[0] = s->pitch_hz[1] = pitch;
            for (uint32_t m = 0; m < count; m++) {
                double turns = pitch * multiples[m] * ((double)(frame->frame - 1) * hop / rate);
                s->turns[m] = turns - zp_round_double(turns);
            }
        }
    }
    const double before = s->pitch_hz[1], now = s->pitch_hz[0];
    R(0)[0] = (float)s->f0_hz[0], R(1)[0] = (float)before, R(2)[0] = (float)now, R(3)[0] = (float)pitch;
    if (frame->frame > 0) {
        for (uint32_t m = 0; m < count; m++) {
            double *turns = frame->phases + (size_t)m * hop;
            double sum = 0, b = before * multiples[m] / rate, c = now * multiples[m] / rate,
                   d = pitch * multiples[m] / rate, begin = s->turns[m];
            for (uint32_t i = 0; i < hop; i++) {
                double offset = (i + 0.5) / hop - 0.5;
                sum += offset < 0 ? c * (1 + offset) - b * offset : c * (1 - offset) + d * offset;
                double at = begin + sum;
                turns[i] = at - zp_round_double(at);
            }
            s->turns[m] = turns[hop - 1];
        }
    } else {
        for (uint32_t i = 0; i < count * hop; i++) frame->phases[i] = 0;
    }
    float *gate = R(4);
    const int voiced = s->f0_hz[0] > 0, rises = s->f0_hz[1] <= 0, falls = f0 <= 0;
    for (uint32_t i = 0; i < hop; i++) {
        float gain = 1.0f;
        if (mute && !voiced) gain = 0.0f;
        if (mute && voiced) { /* 0.5 - 0.5 cos(pi x) = sin(pi x / 2)^2 */
            if (rises) {
                float rise = zp_sin_turns(((float)i + 0.5f) / (float)hop * 0.25f);
                gain *= rise * rise;
            }
            if (falls) {
                float fall = zp_sin_turns(((float)(hop - 1 - i) + 0.5f) / (float)hop * 0.25f);
                gain *= fall * fall;
            }
        }
        gate[i] = gain;
    }
    s->f0_hz[1] = s->f0_hz[0], s->f0_hz[0] = f0;
    s->pitch_hz[1] = s->pitch_hz[0], s->pitch_hz[0] = pitch;
}

static void run_distribution(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t n = A(2), ceiling = A(4) < n ? A(4) : n;
    const float floor = zp_bits(A(5)), f0 = R(3)[0], nyquist = (float)frame->sample_rate / 2;
    float *y = R(0), sum = 0;
    frame->player->kernels->activate(y, R(1), n, ZP_SCALE, 0, 1);
    for (uint32_t k = 0; k < n; k++) {
        int audible = k < ceiling && f0 * (float)(k + 1) < nyquist;
        y[k] *= (audible ? 1.0f : 0.0f) + floor;
        sum += y[k];
    }
    if (sum < 1.17549435e-38f) sum = 1.17549435e-38f;
    for (uint32_t k = 0; k < n; k++) y[k] /= sum;
}

static uint32_t sounding(const float *amplitudes, uint32_t n) {
    while (n > 0 && amplitudes[n - 1] == 0.0f) n--;
    return n;
}

static void run_harmonics(const zp_frame *frame, const zp_operation *operation) {
    float *audio = R(0);
    const float gain = R(3)[0];
    frame->player->kernels->harmonics(audio, frame->phases, R(1), 0, sounding(R(1), A(2)), frame->hop);
    for (uint32_t i = 0; i < frame->hop; i++) audio[i] *= gain;
}

static void run_fm(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t hop = frame->hop, padded = (uint32_t)zp_up(hop, 8), operators = A(4);
    const uint32_t *words = (const uint32_t *)(frame->player->file + frame->player->tensors[A(5)].offset);
    const float *before = R(1), *now = R(2), *after = R(3);
    float *outputs = frame->scratch, *modulation = outputs + (size_t)operators * padded, *level = modulation + padded;
    float *audio = R(0);
    for (uint32_t i = 0; i < hop; i++) audio[i] = 0;
    for (uint32_t at = 0; at < operators; at++) {
        const uint32_t *w = words + FM_WORDS * at, number = w[FM_NUMBER];
        for (uint32_t i = 0; i < hop; i++) {
            float offset = ((float)i + 0.5f) / (float)hop - 0.5f;
            level[i] = offset < 0 ? now[number] * (1 + offset) - before[number] * offset
                                  : now[number] * (1 - offset) + after[number] * offset;
            modulation[i] = 0;
        }
        for (uint32_t m = 0; m < w[FM_MODULATORS]; m++) {
            const float *other = outputs + (size_t)words[w[FM_BEGIN] + m] * padded;
            for (uint32_t i = 0; i < hop; i++) modulation[i] += other[i];
        }
        float *y = outputs + (size_t)number * padded;
        frame->player->kernels->operator_sine(y, level, frame->phases + (size_t)w[FM_PHASE] * hop,
                                              (float)w[FM_MULTIPLE], modulation, hop);
        if (w[FM_CARRIER])
            for (uint32_t i = 0; i < hop; i++) audio[i] += y[i];
    }
    const float times = zp_bits(A(6));
    for (uint32_t i = 0; i < hop; i++) audio[i] *= times;
}

static float square_root(float x) {
    if (x <= 0) return 0;
    float inverse = zp_bits(0x5f375a86u - (zp_word(x) >> 1));
    for (int i = 0; i < 4; i++) inverse *= 1.5f - 0.5f * x * inverse * inverse;
    return x * inverse;
}

/* As many harmonics as stay under Nyquist all through the frame, in which the pitch glides half-way to its neighbours'. */
static uint32_t under_nyquist(float before, float pitch, float after, uint32_t most, uint32_t sample_rate) {
    float neighbour = before > after ? before : after, highest = (pitch + neighbour) / 2;
    highest = pitch > highest ? pitch : highest;
    if (!(highest > 0)) return most; /* NaN, too: it must not become an integer */
    float ratio = (float)sample_rate / 2 / highest;
    if (ratio > (float)most + 1) return most;
    uint32_t count = (uint32_t)ratio;
    if ((float)count == ratio && count > 0) count--; /* at Nyquist is over it */
    return count < most ? count : most;
}

static void run_wavetable(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t tables = A(2), harmonics = A(5), ceiling = A(11) < harmonics ? A(11) : harmonics;
    const float *weights = R(1), *sines = TABLE(3), *cosines = TABLE(4);
    float *s = frame->scratch, *c = s + zp_up(harmonics, 8), *audio = R(0);
    uint32_t n = under_nyquist(R(8)[0], R(9)[0], R(10)[0], ceiling, frame->sample_rate);
    if (A(12) && R(7)[0] <= 0) n = 0;
    for (uint32_t k = 0; k < n; k++) s[k] = c[k] = 0;
    for (uint32_t t = 0; t < tables; t++) {
        const float w = weights[t], *ts = sines + (size_t)t * harmonics, *tc = cosines + (size_t)t * harmonics;
        for (uint32_t k = 0; k < n; k++) s[k] += w * ts[k], c[k] += w * tc[k];
    }
    float total = 0;
    for (uint32_t k = 0; k < n; k++) total += square_root(s[k] * s[k] + c[k] * c[k]);
    const float gain = R(6)[0] / (total < 1e-6f ? 1e-6f : total);
    frame->player->kernels->harmonics(audio, frame->phases, s, c, n, frame->hop);
    for (uint32_t i = 0; i < frame->hop; i++) audio[i] *= gain;
}

/* A frame's noise, filtered by its whole response, which reaches over both ends of the frame, and added up. */
static void run_noise(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t hop = frame->hop, bands = A(2), reach = bands - 1, late = A(4) * hop;
    const uint32_t length = late + hop + reach;
    float *total = (float *)frame->state, *half = frame->scratch, *response = half + zp_up(bands, 8);
    const zp_kernels *kernels = frame->player->kernels;
    kernels->matrix_vector(frame->player->tensors + A(3), frame->player->file, R(1), 0, half);
    for (uint32_t j = 0; j < reach; j++) response[reach + j] = response[reach - j] = half[j];
    /* the window is 0 at the two outermost taps */
    response[0] = response[2 * reach] = 0;
    kernels->filter(total + late - reach, frame->noise, response, reach, hop);
    __builtin_memcpy(R(0), total, sizeof(float) * hop);
    __builtin_memmove(total, total + hop, sizeof(float) * (length - hop));
    for (uint32_t i = length - hop; i < length; i++) total[i] = 0;
}

static void run_noise_cropped(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t hop = frame->hop;
    float *response = frame->scratch, *audio = R(0);
    frame->player->kernels->matrix_vector(frame->player->tensors + A(3), frame->player->file, R(1), 0, response);
    for (uint32_t i = 0; i < hop; i++) {
        float sum = 0;
        for (uint32_t j = 0; j <= i; j++) sum += response[j] * frame->noise[i - j];
        audio[i] = sum;
    }
}

/* Overlap-save with pieces as long as a frame (Gardner, JAES 43, 1995, with pieces of one size): no delay. */
static void run_reverb(const zp_frame *frame, const zp_operation *operation) {
    const uint32_t hop = frame->hop;
    reverb_shape shape = reverb_of(A(2), hop);
    const float *twiddles = (const float *)frame->constants, *spectra = twiddles + shape.size;
    float *last = (float *)frame->state, *heard = last + zp_up(hop, 8);
    float *re = frame->scratch, *im = re + shape.size, *sum_re = im + shape.size, *sum_im = sum_re + shape.padded;
    const float *x = R(1);
    const uint32_t newest = (uint32_t)(frame->frame % shape.pieces), first = shape.size - 2 * hop;
    for (uint32_t i = 0; i < shape.size; i++) {
        re[i] = i < first ? 0.0f : (i < first + hop ? last[i - first] : x[i - first - hop]);
        im[i] = 0;
    }
    for (uint32_t i = 0; i < hop; i++) last[i] = x[i];
    zp_fft(re, im, twiddles, shape.size, 0);
    float *own = heard + 2 * (size_t)shape.padded * newest;
    for (uint32_t i = 0; i <= shape.size / 2; i++) own[i] = re[i], own[shape.padded + i] = im[i];
    for (uint32_t i = 0; i < shape.padded; i++) sum_re[i] = sum_im[i] = 0;
    for (uint32_t piece = 0; piece < shape.pieces; piece++) {
        uint32_t slot = newest >= piece ? newest - piece : newest + shape.pieces - piece;
        const float *h = spectra + 2 * (size_t)shape.padded * piece, *a = heard + 2 * (size_t)shape.padded * slot;
        frame->player->kernels->multiply_spectra(sum_re, sum_im, a, a + shape.padded, h, h + shape.padded,
                                                 shape.padded);
    }
    for (uint32_t i = 0; i <= shape.size / 2; i++) re[i] = sum_re[i], im[i] = sum_im[i];
    for (uint32_t i = shape.size / 2 + 1; i < shape.size; i++)
        re[i] = re[shape.size - i], im[i] = -im[shape.size - i];
    zp_fft(re, im, twiddles, shape.size, 1);
    float *y = R(0);
    const float scale = 1.0f / (float)shape.size;
    for (uint32_t i = 0; i < hop; i++) y[i] = re[shape.size - hop + i] * scale;
}

void zp_run_operation(const zp_frame *frame) {
    const zp_operation *operation = frame->operation;
    const zp_kernels *kernels = frame->player->kernels;
    switch (operation->code) {
        case ZP_INPUT: run_input(frame, operation); break;
        case ZP_LINEAR:
            kernels->matrix_vector(frame->player->tensors + A(4), frame->player->file, R(1), TABLE(5), frame->scratch);
            kernels->activate(R(0), frame->scratch, A(2), A(6), 0, 1);
            break;
        case ZP_LAYER_NORM: run_layer_norm(frame, operation); break;
        case ZP_COPY: __builtin_memmove(R(0), R(1), sizeof(float) * A(2)); break;
        case ZP_ADD:
            for (uint32_t i = 0; i < A(3); i++) R(0)[i] = R(1)[i] + R(2)[i];
            break;
        case ZP_MULTIPLY:
            for (uint32_t i = 0; i < A(3); i++) R(0)[i] = R(1)[i] * R(2)[i];
            break;
        case ZP_SKIP: {
            const float *weight = TABLE(4);
            for (uint32_t i = 0; i < A(3); i++) R(0)[i] = R(1)[i] + weight[i] * R(2)[i];
            break;
        }
        case ZP_GLU:
            kernels->activate(frame->scratch, R(1) + A(2), A(2), ZP_SIGMOID, 0, 1);
            for (uint32_t i = 0; i < A(2); i++) R(0)[i] = R(1)[i] * frame->scratch[i];
            break;
        case ZP_ACTIVATE: kernels->activate(R(0), R(1), A(2), A(3), zp_bits(A(4)), zp_bits(A(5))); break;
        case ZP_SOFTMAX: run_softmax(frame, operation); break;
        case ZP_GRU: run_gru(frame, operation); break;
        case ZP_CONVOLUTION: run_convolution(frame, operation); break;
        case ZP_SSM_LOW_RANK: kernels->low_rank(TABLE(4), (float *)frame->state, R(1), R(0), A(2), A(3)); break;
        case ZP_SSM_DIAGONAL: kernels->diagonal(TABLE(4), (float *)frame->state, R(1), R(0), A(2), A(3)); break;
        case ZP_DELAY: run_delay(frame, operation); break;
        case ZP_PITCH: run_pitch(frame, operation); break;
        case ZP_DISTRIBUTION: run_distribution(frame, operation); break;
        case ZP_HARMONICS: run_harmonics(frame, operation); break;
        case ZP_FM: run_fm(frame, operation); break;
        case ZP_WAVETABLE: run_wavetable(frame, operation); break;
        case ZP_NOISE: run_noise(frame, operation); break;
        case ZP_NOISE_CROPPED: run_noise_cropped(frame, operation); break;
        case ZP_SILENCE:
            if (frame->frame < A(2))
                for (uint32_t i = 0; i < A(1); i++) R(0)[i] = 0;
            break;
        case ZP_REVERB: run_reverb(frame, operation); break;
        case ZP_HOLD: {
            float *now = R(0), *held = (float *)frame->state;
            for (uint32_t i = 0; i < A(1); i++)
                if (frame->ending)
                    now[i] = held[i];
                else
                    held[i] = now[i];
            break;
        }
        default: break;
    }
}
