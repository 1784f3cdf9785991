/* What playing live is made of: a resampler, and what is heard frame by frame. */
#ifndef ZP_LIVE_H
#define ZP_LIVE_H

#include "zp_internal.h"
#include "zp_math.h"

/* Of functions that run seldom: small, not fast, which a browser's download is glad of. */
#if defined(__clang__)
#define ZP_SELDOM __attribute__((cold, noinline, minsize))
#elif defined(__GNUC__)
#define ZP_SELDOM __attribute__((cold, noinline))
#else
#define ZP_SELDOM
#endif

/* live_resample.c: from one rate to another, a sample at a time, by a windowed sinc in as many phases as it needs. */
typedef struct {
    uint32_t from, to; /* rates, without their common divisor */
    uint32_t phases, taps, reach; /* `reach`: input samples that it is late */
    uint32_t at, next; /* where the next sample goes; when the next output is due, in 1 / to of an input sample */
    float *table, *past; /* [phases + 1][taps], [2 taps] */
} zp_resampler;

/* Floats that it needs, 0 where the rates are too far apart. More zero crossings: a steeper filter, and later. */
uint64_t zp_resampler_floats(uint32_t from, uint32_t to, uint32_t crossings);
void zp_resampler_init(zp_resampler *resampler, uint32_t from, uint32_t to, uint32_t crossings, float *memory);
void zp_resampler_reset(zp_resampler *resampler);
/* Take a sample, and give as many as are due then: at most ZP_MOST_PUSHED. */
#define ZP_MOST_PUSHED 256u
uint32_t zp_resampler_push(zp_resampler *resampler, float sample, float *made);

typedef struct {
    float f0_hz, loudness_db, periodicity;
    float level_db; /* A-weighted, whatever the loudness is: what the gate goes by */
} zp_heard;

/* A sample that may be anything: what is no number or so small that it would be slow (denormal) counts as 0, and nothing
 * is louder than 80 dB over full scale. */
static inline float zp_clean(float x) {
    if (!zp_finite(x) || (x < 1e-15f && x > -1e-15f)) return 0.0f;
    return x > 1e4f ? 1e4f : (x < -1e4f ? -1e4f : x);
}

#define ZP_MOST_LAGS 3200.0f /* of a pitch: more take half of a core and more, for the work goes with their square */

/* live_features.c: the next frame's. */
zp_heard zp_features_step(zoo_features *features, const float *samples);
void zp_features_reset(zoo_features *features);
/* By how many samples a pitch is older than its frame's end where it is so high that its window is the shortest. */
uint32_t zp_features_soonest(const zoo_features *features);

/* player.c: ramps over the next frames, of the sound before the reverb and of the reverb's part. */
void zp_player_levels(zoo_player *player, float dry, float dry_end, float wet, float wet_end);

#endif
