/* What a player hears live: pitch and loudness of a sound, frame by frame, from what has been heard until then.
 *
 * Pitch is YIN (de Cheveigne and Kawahara, JASA 2002) with four differences: a lag's differences are summed over a
 * window that follows the lag, so that high notes are heard sooner; of all dips the one is taken that is deepest after
 * a small charge per octave of period, or a part of its period that fits almost as well; and a jump counts when it has
 * lasted some milliseconds. */
#include "zp_live.h"
#include "zp_math.h"

#define PERIODS 1.5f           /* of a lag: the window that its differences are summed over */
#define SHORTEST_SECONDS 0.008f /* and at least so long, where the lowest pitch's window is not shorter */
#define CHARGE 0.05f           /* per octave of period */
#define BEGINS 0.25f           /* depth of a dip with which a note begins, */
#define GOES_ON 0.5f           /* and goes on */
#define TIMES_DEEPER 1.5f      /* a part of the period counts where its dip is not this much shallower */
#define DEEPER 0.02f           /* and this on top; */
#define GOING_TIMES 2.0f       /* more where it is the pitch that has been heard until then: */
#define GOING_DEEPER 0.1f
#define NOTE 1.03f             /* within this ratio */
#define SURE 0.8f              /* periodicity with which a note begins at once */
#define REFINED_SECONDS 0.003f /* a short period is measured over several, up to this long */
#define QUIET_POWER 1e-8f      /* mean square below which nothing is pitched: -80 dB */
#define SAME 1.06f             /* ratio of pitches that are one note, gliding */
#define STEP_SECONDS 0.002f    /* pitch is heard about so often, however long a frame is */
#define JUMP_SECONDS 0.002f    /* what a jump must have lasted */
#define PAUSE_TIMES 2          /* times as long: that there is no pitch */
#define OCTAVE_TIMES 4         /* times as long: a jump by octaves or a twelfth */
#define RISE_SECONDS 0.005f    /* of the loudness's window: its newest and its oldest part */
#define FALL_SECONDS 0.035f    /* 640 samples at 16 kHz in all */
#define FLOOR_DB (-80.0f)
#define SECTIONS 4
#define SPECTRUM_SECONDS 0.06f /* at least so long, for the mean of dB */
/* What brings the mean of dB, which depends on the window's length, to the offline features': with the level, which says
 * how much of it is between harmonics. Fitted to half of the recordings of eleven instruments. */
#define MEAN_SCALE 1.121f
#define MEAN_LEVEL (-0.216f)
#define MEAN_DB (-3.06f)
#define OFFLINE_POWER 768.0f   /* of the offline features' window for it, of 2,048 samples */

struct zoo_features {
    zoo_features_setup setup;
    uint32_t shortest, longest, most, history, window; /* lags, and samples of past, squares */
    float *past, *squares;                             /* newest first */
    float *difference, *depth, *charge, *per_sample, *weights;
    uint32_t size; /* of the spectrum, for the mean of dB alone; 0 without */
    float *re, *im, *twiddles, *curve;
    uint32_t *begins;      /* [most]: the lag from which a sample counts */
    uint32_t steps, every; /* per frame: pitch is heard as often; or once in so many frames, where these are short */
    uint32_t holds, stays; /* steps that a jump is held back: any, and one by an octave */
    float fir[3];          /* the high end of the A curve */
    float feed[SECTIONS], back[SECTIONS], gain;
    /* what changes */
    float before[SECTIONS], out[SECTIONS], late[4];
    float now_hz, next_hz;
    uint32_t seen; /* steps that next_hz has lasted */
    uint32_t waited; /* frames since pitch was heard */
    float periodicity;
};

typedef struct {
    uint64_t past, squares, difference, depth, charge, per_sample, weights, begins, re, im, twiddles, curve, bytes;
    uint32_t shortest, longest, most, history, window, size;
} plan;

static uint32_t span_of(uint32_t lag, uint32_t least, uint32_t most) {
    const uint32_t span = (uint32_t)(PERIODS * (float)lag + 0.5f);
    return span < least ? least : (span > most ? most : span);
}

ZP_SELDOM static int plan_of(const zoo_features_setup *s, plan *p) {
    if (!s || s->sample_rate < 4000 || s->sample_rate > 192000 || s->hop == 0 || s->hop > ZP_MAX_HOP) return 0;
    const float rate = (float)s->sample_rate;
    if (!(s->fmin_hz >= 20) || !(s->fmin_hz >= rate / ZP_MOST_LAGS) || !(s->fmax_hz >= 1.5f * s->fmin_hz) || !(s->fmax_hz <= rate / 4)) return 0;
    if (s->loudness > ZOO_LOUDNESS_MEAN_DB || !zp_finite(s->loudness_scale) || !zp_finite(s->loudness_db)) return 0;
    p->shortest = (uint32_t)(rate / s->fmax_hz);
    p->longest = (uint32_t)(rate / s->fmin_hz) + 2;
    p->most = (uint32_t)(PERIODS * (float)p->longest + 1);
    p->history = p->most + p->longest + 2;
    p->window = (uint32_t)(rate * (RISE_SECONDS + FALL_SECONDS));
    p->size = 0;
    if (s->loudness == ZOO_LOUDNESS_MEAN_DB) {
        for (p->size = 16; (float)p->size < SPECTRUM_SECONDS * rate;) p->size *= 2;
        p->window = p->size;
        if (p->history < p->size) p->history = p->size;
    }
    uint64_t at = zp_up(sizeof(zoo_features), 64);
    p->past = at, at += zp_up(4 * (uint64_t)(p->history + s->hop), 64);
    p->squares = at, at += zp_up(4 * (uint64_t)(p->window + s->hop), 64);
    uint64_t *const lags[] = {&p->difference, &p->depth, &p->charge, &p->per_sample};
    for (int i = 0; i < 4; i++) *lags[i] = at, at += zp_up(4 * (uint64_t)(p->longest + 2), 64);
    p->weights = at, at += zp_up(4 * (uint64_t)p->window, 64);
    p->begins = at, at += zp_up(4 * (uint64_t)p->most, 64);
    p->re = at, at += zp_up(4 * (uint64_t)p->size, 64);
    p->im = at, at += zp_up(4 * (uint64_t)p->size, 64);
    p->twiddles = at, at += zp_up(4 * (uint64_t)p->size, 64);
    p->curve = at, at += zp_up(4 * (uint64_t)(p->size / 2 + 1), 64);
    p->bytes = at;
    return 1;
}

ZP_SELDOM size_t zoo_features_bytes(const zoo_features_setup *setup) {
    plan p;
    return plan_of(setup, &p) ? (size_t)p.bytes : 0;
}

static double high_end(double hz) { return 1 / (1 + hz / 12194.217 * (hz / 12194.217)); }

ZP_SELDOM static float root(float x) { return zp_exp(0.34657359f * (float)zp_log2(x)); }

/* What the offline features add to a bin's level in dB: the A curve, floored, and their reference. */
ZP_SELDOM static float a_curve(double hz) {
    if (hz <= 0) return FLOOR_DB - 20.7f;
    const double square = hz * hz;
    const double high = 12194.217 * 12194.217, low = 20.598997 * 20.598997;
    const double top = high * square * square / ((square + low) * (square + high));
    const double power = top * top / ((square + 107.65265 * 107.65265) * (square + 737.86223 * 737.86223));
    const float db = 3.01029996f * (float)zp_log2(power) + 2.0f;
    return (db > FLOOR_DB ? db : FLOOR_DB) - 20.7f;
}

/* The A curve (IEC 61672-1, annex E) as four high-passes of the first order and five taps, 1 at 1 kHz. */
ZP_SELDOM static void weigh(zoo_features *f, double rate) {
    static const double poles[SECTIONS] = {20.598997, 20.598997, 107.65265, 737.86223};
    for (int i = 0; i < SECTIONS; i++) {
        const double turns = poles[i] / rate / 2, k = zp_sin_turns_double(turns) / zp_sin_turns_double(turns + 0.25);
        f->feed[i] = (float)(1 / (1 + k));
        f->back[i] = (float)((1 - k) / (1 + k));
    }
    const double half = high_end(rate / 4), end = high_end(rate / 2); /* exact at 0, a quarter and half of the rate */
    const double twice = (1 + end - 2 * half) / 8, once = (1 - end) / 4;
    f->fir[0] = (float)(1 - 2 * once - 2 * twice), f->fir[1] = (float)once, f->fir[2] = (float)twice;
    f->gain = 1 / 0.7943282f;
}

ZP_SELDOM zoo_features *zoo_features_init(void *memory, size_t bytes, const zoo_features_setup *setup) {
    plan p;
    if (!memory || (uintptr_t)memory % 64 || !plan_of(setup, &p) || bytes < p.bytes) return 0;
    unsigned char *base = memory;
    zoo_features *f = memory;
    *f = (zoo_features){.setup = *setup,
                        .shortest = p.shortest,
                        .longest = p.longest,
                        .most = p.most,
                        .history = p.history,
                        .window = p.window,
                        .past = (float *)(base + p.past),
                        .squares = (float *)(base + p.squares),
                        .difference = (float *)(base + p.difference),
                        .depth = (float *)(base + p.depth),
                        .charge = (float *)(base + p.charge),
                        .per_sample = (float *)(base + p.per_sample),
                        .weights = (float *)(base + p.weights),
                        .begins = (uint32_t *)(base + p.begins),
                        .size = p.size,
                        .re = (float *)(base + p.re),
                        .im = (float *)(base + p.im),
                        .twiddles = (float *)(base + p.twiddles),
                        .curve = (float *)(base + p.curve)};
    const float rate = (float)setup->sample_rate;
    const uint32_t least = span_of((uint32_t)(SHORTEST_SECONDS * rate / PERIODS), 1, p.most);
    for (uint32_t lag = 0; lag < p.longest + 2; lag++) {
        f->charge[lag] = CHARGE * (float)zp_log2((lag ? lag : 1) / (double)p.shortest);
        f->per_sample[lag] = 1 / (float)span_of(lag, least, p.most);
    }
    for (uint32_t i = 0, lag = 1; i < p.most; i++) {
        while (lag < p.longest + 1 && span_of(lag, least, p.most) <= i) lag++;
        f->begins[i] = lag;
    }
    const float rise = RISE_SECONDS * rate, fall = (float)p.window - rise;
    float sum = 0;
    for (uint32_t i = 0; i < p.window; i++) { /* two halves of a Hann window, the newest one short; squared for power */
        const float x = (float)i + 0.5f, part = x < rise ? x / rise : 1 + (x - rise) / fall;
        const float sine = zp_sin_turns(part / 4), hann = sine * sine;
        f->weights[i] = p.size ? hann : hann * hann;
        sum += hann * hann;
    }
    for (uint32_t i = 0; i < p.window; i++) f->weights[i] *= p.size ? root(OFFLINE_POWER / sum) : 1 / sum;
    for (uint32_t i = 0; p.size && i <= p.size / 2; i++) f->curve[i] = a_curve((double)i * rate / p.size);
    if (p.size) zp_twiddles(f->twiddles, p.size);
    weigh(f, setup->sample_rate);
    f->steps = (uint32_t)((float)setup->hop / (STEP_SECONDS * rate) + 0.5f);
    f->steps = f->steps ? f->steps : 1;
    f->every = (uint32_t)(STEP_SECONDS * rate / (float)setup->hop);
    f->every = f->every ? f->every : 1;
    const float steps = (float)f->steps / (float)(setup->hop * f->every) * rate; /* per second */
    f->holds = (uint32_t)(JUMP_SECONDS * steps + 0.5f);
    f->holds = f->holds ? f->holds : 1;
    f->stays = OCTAVE_TIMES * f->holds;
    zp_features_reset(f);
    return f;
}

ZP_SELDOM void zp_features_reset(zoo_features *f) {
    for (uint32_t i = 0; i < f->history + f->setup.hop; i++) f->past[i] = 0;
    for (uint32_t i = 0; i < f->window + f->setup.hop; i++) f->squares[i] = 0;
    for (int i = 0; i < SECTIONS; i++) f->before[i] = f->out[i] = f->late[i] = 0;
    f->now_hz = f->next_hz = 0;
    f->seen = f->waited = 0;
    f->periodicity = 0;
}

ZP_SELDOM void zoo_features_latency(const zoo_features *f, uint32_t *pitch, uint32_t *loudness, uint32_t *hold) {
    if (pitch) *pitch = f ? (f->most + f->longest) / 2 : 0;
    if (loudness) {
        float sum = 0;
        float whole = 0;
        for (uint32_t i = 0; f && i < f->window; i++) sum += f->weights[i] * (float)i, whole += f->weights[i];
        *loudness = whole > 0 ? (uint32_t)(sum / whole + 0.5f) : 0;
    }
    if (hold) *hold = f ? f->stays * f->setup.hop * f->every / f->steps : 0;
}

ZP_SELDOM uint32_t zp_features_soonest(const zoo_features *f) {
    const float period = 0.75f * REFINED_SECONDS * (float)f->setup.sample_rate; /* what a short one's several are, about */
    const uint32_t soonest = (uint32_t)((1 / f->per_sample[f->shortest] + period) / 2);
    uint32_t latest;
    zoo_features_latency(f, &latest, 0, 0);
    return soonest < latest ? soonest : latest; /* where the lowest pitch is high, its period is shorter than several */
}

static float a_weighted(zoo_features *f, float x) {
    for (int i = 0; i < SECTIONS; i++) {
        const float y = f->feed[i] * (x - f->before[i]) + f->back[i] * f->out[i];
        f->before[i] = x;
        x = f->out[i] = y * y > 1e-30f ? y : 0.0f; /* no denormals, which are slow */
    }
    const float *late = f->late;
    const float y = f->fir[0] * late[1] + f->fir[1] * (late[0] + late[2]) + f->fir[2] * (x + late[3]);
    for (int i = 3; i; i--) f->late[i] = f->late[i - 1];
    f->late[0] = x;
    return f->gain * y;
}

/* A-weighted power, in dB. */
static float level_of(const zoo_features *f) {
    float power = 0;
    if (f->size) { /* then the weights are those of amplitudes */
        for (uint32_t i = 0; i < f->window; i++) power += f->weights[i] * f->weights[i] * f->squares[i];
        power /= OFFLINE_POWER;
    } else {
        float sums[4] = {0};
        for (uint32_t i = 0; i < f->window; i++) sums[i % 4] += f->weights[i] * f->squares[i];
        power = sums[0] + sums[1] + sums[2] + sums[3];
    }
    return power > 1e-8f ? 3.01029996f * (float)zp_log2(power) : FLOOR_DB;
}

/* The mean over the bins of their A-weighted levels in dB, each floored: the thesis's loudness. */
static float mean_db_of(const zoo_features *f) {
    for (uint32_t i = 0; i < f->size; i++) f->re[i] = f->weights[i] * f->past[i], f->im[i] = 0;
    zp_fft(f->re, f->im, f->twiddles, f->size, 0);
    float sum = 0;
    for (uint32_t i = 0; i <= f->size / 2; i++) {
        const float power = f->re[i] * f->re[i] + f->im[i] * f->im[i];
        const float db = (power > 1e-20f ? 3.01029996f * (float)zp_log2(power) : -200.0f) + f->curve[i];
        sum += db > FLOOR_DB ? db : FLOOR_DB;
    }
    return sum / (float)(f->size / 2 + 1);
}

static float loudness_of(const zoo_features *f, float level_db) {
    float heard = f->size ? mean_db_of(f) : level_db;
    if (!(heard > FLOOR_DB)) return FLOOR_DB;
    if (f->size) heard = MEAN_SCALE * heard + MEAN_LEVEL * level_db + MEAN_DB;
    const float db = f->setup.loudness_scale * heard + f->setup.loudness_db;
    return db > 0 ? 0.0f : (db > FLOOR_DB ? db : FLOOR_DB);
}

/* Where between its neighbours a dip lies, -0.5 to 0.5, and how deep it is there. */
static float bottom(const float *y, float *depth) {
    const float bend = y[-1] - 2 * y[0] + y[1];
    float at = bend > 0 ? 0.5f * (y[-1] - y[1]) / bend : 0.0f;
    at = at > 0.5f ? 0.5f : (at < -0.5f ? -0.5f : at);
    if (depth) *depth = y[0] - 0.25f * (y[-1] - y[1]) * at;
    return at;
}

static int near(float a, float b, float ratio) { return a < ratio * b && b < ratio * a; }

/* Noise and chords let a multiple of the period fit a little better than the period does: the shortest part of a lag
 * that fits almost as well. */
static uint32_t part_of(const zoo_features *f, uint32_t lag, float deep) {
    const float *depth = f->depth, now = f->now_hz > 0 ? (float)f->setup.sample_rate / f->now_hz : 0.0f;
    for (uint32_t times = 4; times >= 2; times--) {
        const uint32_t middle = (lag + times / 2) / times;
        if (middle <= f->shortest || middle < 3) continue;
        for (uint32_t part = middle - 1; part <= middle + 1; part++) {
            if (depth[part] > depth[part - 1] || depth[part] >= depth[part + 1]) continue;
            const int going = near((float)part, now, NOTE);
            float here;
            bottom(depth + part, &here);
            if (here < (going ? GOING_TIMES * deep + GOING_DEEPER : TIMES_DEEPER * deep + DEEPER)) return part;
        }
    }
    return lag;
}

static float pitch_of(zoo_features *f, float *periodicity) {
    const float *past = f->past;
    float *difference = f->difference, *depth = f->depth;
    const uint32_t lags = f->longest + 2;
    float power = 0;
    for (uint32_t i = 0; i < f->most; i++) power += past[i] * past[i];
    *periodicity = 0;
    if (!(power > QUIET_POWER * (float)f->most)) return 0;
    for (uint32_t lag = 0; lag < lags; lag++) difference[lag] = 0;
    for (uint32_t i = 0; i < f->most; i++) {
        const float now = past[i], *then = past + i;
        for (uint32_t lag = f->begins[i]; lag < lags; lag++) {
            const float apart = now - then[lag];
            difference[lag] += apart * apart;
        }
    }
    float sum = 0;
    depth[0] = 1;
    for (uint32_t lag = 1; lag < lags; lag++) {
        difference[lag] *= f->per_sample[lag];
        sum += difference[lag];
        depth[lag] = sum > 0 ? difference[lag] * (float)lag / sum : 1.0f;
    }
    uint32_t best = 0;
    float least = 1e9f, deep = 1;
    for (uint32_t lag = f->shortest > 2 ? f->shortest : 2; lag <= f->longest; lag++) {
        if (depth[lag] > depth[lag - 1] || depth[lag] >= depth[lag + 1]) continue;
        float here;
        bottom(depth + lag, &here);
        if (here + f->charge[lag] < least) least = here + f->charge[lag], best = lag, deep = here;
    }
    if (!best) return 0;
    *periodicity = deep > 1 ? 0.0f : (deep < 0 ? 1.0f : 1 - deep);
    if (deep > (f->now_hz > 0 ? GOES_ON : BEGINS)) return 0;
    best = part_of(f, best, deep);
    float period = (float)best + bottom(difference + best, 0);
    const float rate = (float)f->setup.sample_rate, until = REFINED_SECONDS * rate;
    for (uint32_t times = 2; (float)times * period < until; times++) {
        uint32_t lag = (uint32_t)((float)times * period + 0.5f);
        if (lag + 2 >= lags) break;
        if (difference[lag - 1] < difference[lag]) lag--;
        else if (difference[lag + 1] < difference[lag]) lag++;
        if (difference[lag - 1] < difference[lag] || difference[lag + 1] < difference[lag]) break;
        period = ((float)lag + bottom(difference + lag, 0)) / (float)times;
    }
    const float hz = rate / period;
    return hz < f->setup.fmin_hz || hz > f->setup.fmax_hz ? 0.0f : hz;
}

static int same(float a, float b) { return a > 0 && b > 0 ? near(a, b, SAME) : !(a > 0 || b > 0); }

/* Single frames that are wrong, and jumps by an octave or a twelfth that do not last, are not passed on. */
static void steady(zoo_features *f, float hz, float periodicity) {
    if (same(hz, f->now_hz)) {
        f->seen = 0, f->now_hz = hz;
        return;
    }
    f->seen = f->seen && same(hz, f->next_hz) ? f->seen + 1 : 1;
    f->next_hz = hz;
    int octave = 0;
    for (int times = 2; times <= 4; times++)
        octave |= near(hz, f->now_hz * (float)times, SAME) || near(hz * (float)times, f->now_hz, SAME);
    uint32_t wait = !(hz > 0) ? PAUSE_TIMES * f->holds : (octave ? f->stays : f->holds);
    if (!(f->now_hz > 0) && periodicity > SURE) wait = 0; /* a note that begins clearly need not wait */
    if (f->seen > wait) f->seen = 0, f->now_hz = hz;
}

zp_heard zp_features_step(zoo_features *f, const float *samples) {
    zp_heard heard = {0, 0, 0, 0};
    for (uint32_t step = 0, i = 0; step < f->steps; step++) {
        const uint32_t end = (uint32_t)((uint64_t)f->setup.hop * (step + 1) / f->steps), count = end - i;
        __builtin_memmove(f->past + count, f->past, sizeof(float) * f->history);
        __builtin_memmove(f->squares + count, f->squares, sizeof(float) * f->window);
        for (; i < end; i++) {
            const float sample = zp_clean(samples[i]), weighted = a_weighted(f, sample);
            f->past[end - 1 - i] = sample;
            f->squares[end - 1 - i] = weighted * weighted;
        }
        if (++f->waited < f->every) continue;
        f->waited = 0;
        const float hz = pitch_of(f, &f->periodicity);
        steady(f, hz, f->periodicity);
    }
    heard.f0_hz = f->now_hz, heard.periodicity = f->periodicity;
    heard.level_db = level_of(f);
    heard.loudness_db = loudness_of(f, heard.level_db);
    return heard;
}

int zoo_features_process(zoo_features *features, const float *samples, size_t frames, float *f0_hz, float *loudness_db,
                         float *periodicity) {
    if (!features || (frames && (!samples || !f0_hz || !loudness_db))) return ZOO_ERROR_ARGUMENT;
    const uint32_t hop = features->setup.hop;
    for (size_t t = 0; t < frames; t++) {
        const zp_heard heard = zp_features_step(features, samples + t * hop);
        f0_hz[t] = heard.f0_hz, loudness_db[t] = heard.loudness_db;
        if (periodicity) periodicity[t] = heard.periodicity;
    }
    return ZOO_OK;
}
