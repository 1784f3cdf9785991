/* An instrument that follows a sound, sample by sample: input at the host's rate, resampled, measured, moved into the
 * instrument's range, played, and resampled back. */
#include "zp_live.h"
#include "zp_math.h"

#define IN_CROSSINGS 8u   /* for measuring only */
#define OUT_CROSSINGS 16u /* heard */
#define NOTES 128u
#define LEVELS 81u        /* -80 to 0 dB */
#define OCTAVES 6
#define FORGET_SECONDS 20.0f
#define ENOUGH 0.9f       /* fewer octaves do where they bring this part of what the best number brings into range */
#define SURE_FRAMES 60.0f /* that have a pitch: fewer say little of how loud the input is */
#define SLEW_DB 12.0f     /* per second: how fast the loudness's shift follows */
#define RAMP_SECONDS 0.03f
#define GATE_HYSTERESIS_DB 6.0f
#define REACHED 1e-5f     /* a setting is where it is going */
#define STATE_WORDS (sizeof(zoo_live_state) / 4)
#define TRIES 1000        /* to read what another thread is writing, which takes it nanoseconds */

struct zoo_live {
    zoo_live_setup setup;
    zoo_info info;
    zoo_player *player;
    zoo_features *features;
    zp_resampler in, out;
    float *waiting, *frame, *queue; /* input and audio of one frame; output that waits */
    uint32_t waited, queue_size, queue_at, queued, first; /* `first`: samples of silence at the start */
    uint32_t settings[ZOO_LIVE_SETTINGS]; /* bits of floats: another thread may write them */
    uint32_t hand[2], hands; /* what zoo_live_drive plays, in Hz and dB, NaN dB where it listens; see put_words */
    float hand_hz, hand_db;  /* the same, as last taken */
    /* what the settings are at now, on their way to them */
    float input_gain, transpose, loudness_db, reverb, gain, expander;
    int open;
    /* what is known of the input */
    float notes[NOTES], levels[LEVELS], notes_sum, levels_sum, forget;
    int octaves;
    float shift_db, note_hz;
    zoo_live_state state;
    uint32_t shown[STATE_WORDS], shows; /* the same, for zoo_live_read; see put_words */
};

typedef struct {
    uint64_t in, out, waiting, frame, queue, features, player, bytes;
    uint32_t queue_size, first;
    zoo_features_setup config;
    zoo_info info;
} plan;

/* Words that one thread writes and another reads together, without a lock: `count` is odd while they are written. */
static void put_words(uint32_t *count, uint32_t *to, const uint32_t *from, size_t n) {
    const uint32_t busy = __atomic_load_n(count, __ATOMIC_RELAXED) | 1;
    __atomic_store_n(count, busy, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    for (size_t i = 0; i < n; i++) __atomic_store_n(to + i, from[i], __ATOMIC_RELAXED);
    __atomic_store_n(count, busy + 1, __ATOMIC_RELEASE);
}

/* Whether they were not written meanwhile. */
static int take_words(const uint32_t *count, uint32_t *to, const uint32_t *from, size_t n) {
    const uint32_t before = __atomic_load_n(count, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < n; i++) to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return !(before & 1) && before == __atomic_load_n(count, __ATOMIC_RELAXED);
}

static void show(zoo_live *live) {
    uint32_t words[STATE_WORDS];
    __builtin_memcpy(words, &live->state, sizeof words);
    put_words(&live->shows, live->shown, words, STATE_WORDS);
}

static int range_is_sound(const zoo_live_setup *s) {
    const float values[] = {s->lowest_hz, s->highest_hz, s->softest_db, s->soft_db,
                            s->middle_db, s->loud_db,    s->loudest_db};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!zp_finite(values[i])) return 0;
    return s->lowest_hz > 0 && s->highest_hz >= s->lowest_hz && s->softest_db <= s->soft_db &&
           s->soft_db <= s->loud_db && s->loud_db <= s->loudest_db;
}

ZP_SELDOM static int plan_of(const void *file, size_t file_bytes, const zoo_live_setup *s, plan *p) {
    if (!s) return ZOO_ERROR_ARGUMENT;
    int error = zoo_check(file, file_bytes, &p->info);
    if (error) return error;
    const uint32_t rate = p->info.sample_rate, hop = p->info.hop;
    p->config = (zoo_features_setup){rate, hop, s->fmin_hz, s->fmax_hz, s->loudness, s->loudness_scale, s->loudness_db};
    if (s->sample_rate < 4000 || s->sample_rate > 768000) return ZOO_ERROR_ARGUMENT;
    if (p->info.inputs != 2 || (s->fit && !range_is_sound(s))) return ZOO_ERROR_ARGUMENT;
    const uint64_t in = zp_resampler_floats(s->sample_rate, rate, IN_CROSSINGS);
    const uint64_t out = zp_resampler_floats(rate, s->sample_rate, OUT_CROSSINGS);
    const size_t features = zoo_features_bytes(&p->config), player = zoo_player_bytes(file, file_bytes, 1);
    if (!in || !out || !features || !player) return ZOO_ERROR_ARGUMENT;
    /* So much output waits that it lasts while a frame is gathered; both resamplers give their samples at once, late. */
    p->first = rate == s->sample_rate ? hop - 1 : (uint32_t)(((uint64_t)hop * s->sample_rate + rate - 1) / rate + 1);
    p->queue_size = p->first + 2 * (uint32_t)(((uint64_t)hop * s->sample_rate + rate - 1) / rate) + 8;
    uint64_t at = zp_up(sizeof(zoo_live), 64);
    p->in = at, at += zp_up(4 * in, 64);
    p->out = at, at += zp_up(4 * out, 64);
    p->waiting = at, at += zp_up(4 * (uint64_t)hop, 64);
    p->frame = at, at += zp_up(4 * (uint64_t)hop, 64);
    p->queue = at, at += zp_up(4 * (uint64_t)p->queue_size, 64);
    p->features = at, at += zp_up(features, 64);
    p->player = at, at += zp_up(player, 64);
    p->bytes = at;
    return ZOO_OK;
}

ZP_SELDOM size_t zoo_live_bytes(const void *file, size_t file_bytes, const zoo_live_setup *setup) {
    plan p;
    return plan_of(file, file_bytes, setup, &p) ? 0 : (size_t)p.bytes;
}

ZP_SELDOM zoo_live *zoo_live_init(void *memory, size_t bytes, const void *file, size_t file_bytes,
                                  const zoo_live_setup *setup, int *error) {
    plan p;
    int problem = plan_of(file, file_bytes, setup, &p);
    if (!problem && (!memory || bytes < p.bytes)) problem = ZOO_ERROR_ARGUMENT;
    if (!problem && (uintptr_t)memory % 64) problem = ZOO_ERROR_ALIGNMENT;
    if (error) *error = problem;
    if (problem) return 0;
    unsigned char *base = memory;
    zoo_live *live = memory;
    *live = (zoo_live){.setup = *setup,
                      .info = p.info,
                      .waiting = (float *)(base + p.waiting),
                      .frame = (float *)(base + p.frame),
                      .queue = (float *)(base + p.queue),
                      .queue_size = p.queue_size,
                      .first = p.first};
    zp_resampler_init(&live->in, setup->sample_rate, p.info.sample_rate, IN_CROSSINGS, (float *)(base + p.in));
    zp_resampler_init(&live->out, p.info.sample_rate, setup->sample_rate, OUT_CROSSINGS, (float *)(base + p.out));
    live->features = zoo_features_init(base + p.features, bytes - (size_t)p.features, &p.config);
    live->player = zoo_player_init(base + p.player, bytes - (size_t)p.player, file, file_bytes, 1, setup->seed, error);
    const float frames = FORGET_SECONDS * (float)p.info.sample_rate / (float)p.info.hop;
    live->forget = 1 - 1 / (frames > 2 ? frames : 2);
    static const float usual[ZOO_LIVE_SETTINGS] = {0, 0, 1, -65, 1, 1};
    for (uint32_t i = 0; i < ZOO_LIVE_SETTINGS; i++) live->settings[i] = zp_word(usual[i]);
    live->hand_db = __builtin_nanf("");
    zoo_live_drive(live, 0, live->hand_db);
    zoo_live_reset(live);
    return live;
}

int zoo_live_set(zoo_live *live, uint32_t setting, float value) {
    static const float limits[ZOO_LIVE_SETTINGS][2] = {{-120, 120}, {-80, 80}, {0, 1000}, {-200, 0}, {0, 1}, {0, 1000}};
    if (!live || setting >= ZOO_LIVE_SETTINGS || !(value >= limits[setting][0]) || !(value <= limits[setting][1]))
        return ZOO_ERROR_ARGUMENT;
    __atomic_store_n(live->settings + setting, zp_word(value), __ATOMIC_RELAXED);
    return ZOO_OK;
}

int zoo_live_drive(zoo_live *live, float f0_hz, float loudness_db) {
    if (!live) return ZOO_ERROR_ARGUMENT;
    const uint32_t hand[2] = {zp_word(zp_finite(f0_hz) && f0_hz > 0 ? f0_hz : 0.0f), zp_word(loudness_db)};
    put_words(&live->hands, live->hand, hand, 2);
    return ZOO_OK;
}

float zoo_live_get(const zoo_live *live, uint32_t setting) {
    if (!live || setting >= ZOO_LIVE_SETTINGS) return 0;
    return zp_bits(__atomic_load_n(live->settings + setting, __ATOMIC_RELAXED));
}

static float gain_of(float db) { return zp_exp(db * 0.115129255f); }

static float octaves_up(float octaves) { return zp_exp(octaves * 0.693147181f); }

ZP_SELDOM void zoo_live_reset(zoo_live *live) {
    if (!live) return;
    zp_resampler_reset(&live->in);
    zp_resampler_reset(&live->out);
    zp_features_reset(live->features);
    zoo_player_reset(live->player);
    for (uint32_t i = 0; i < live->queue_size; i++) live->queue[i] = 0;
    for (uint32_t i = 0; i < NOTES; i++) live->notes[i] = 0;
    for (uint32_t i = 0; i < LEVELS; i++) live->levels[i] = 0;
    live->notes_sum = live->levels_sum = 0;
    live->waited = live->queue_at = 0;
    live->queued = live->first;
    live->input_gain = zoo_live_get(live, ZOO_LIVE_INPUT_GAIN);
    live->transpose = zoo_live_get(live, ZOO_LIVE_TRANSPOSE);
    live->loudness_db = zoo_live_get(live, ZOO_LIVE_LOUDNESS_DB);
    live->reverb = zoo_live_get(live, ZOO_LIVE_REVERB);
    live->gain = zoo_live_get(live, ZOO_LIVE_GAIN);
    live->expander = 0;
    live->open = live->octaves = 0;
    live->shift_db = live->note_hz = 0;
    live->state = (zoo_live_state){0};
    live->state.loudness_db = live->state.input_db = -80;
    show(live);
}

ZP_SELDOM void zoo_live_latency(const zoo_live *live, zoo_live_delays *delays) {
    if (!live || !delays) return;
    uint32_t pitch, hold;
    zoo_features_latency(live->features, &pitch, 0, &hold);
    const double scale = (double)live->setup.sample_rate / live->info.sample_rate;
    const double analysis = scale * pitch, resampling = live->in.reach + live->out.reach * scale;
    /* A model's pitch is a frame's value in the frame's middle. The frame that was heard is over: of the one that passes
     * until then, and that `first` and the synth both have, half remains. */
    const double whole = live->first + resampling + analysis + scale * (live->info.latency - live->info.hop / 2.0);
    delays->analysis = (uint32_t)(analysis + 0.5);
    delays->frame = live->first;
    delays->resampling = (uint32_t)(resampling + 0.5);
    delays->synth = (uint32_t)(scale * live->info.latency + 0.5);
    delays->total = (uint32_t)(whole > 0 ? whole + 0.5 : 0.0);
    delays->hold = (uint32_t)(scale * hold + 0.5);
    delays->soonest = delays->total - (uint32_t)(scale * (pitch - zp_features_soonest(live->features)) + 0.5);
}

/* By how many octaves the notes heard so far have to move so that most are in the range; as few as will do. */
ZP_SELDOM static int octaves_into_range(const zoo_live *live) {
    float covered[2 * OCTAVES + 1], most = 0;
    const float low = 69 + 12 * (float)zp_log2(live->setup.lowest_hz / 440.0) - 0.5f;
    const float high = 69 + 12 * (float)zp_log2(live->setup.highest_hz / 440.0) + 0.5f;
    for (int octaves = -OCTAVES; octaves <= OCTAVES; octaves++) {
        float sum = 0;
        for (int note = 0; note < (int)NOTES; note++) {
            const float moved = (float)(note + 12 * octaves);
            if (moved >= low && moved <= high) sum += live->notes[note];
        }
        covered[octaves + OCTAVES] = sum;
        if (sum > most) most = sum;
    }
    /* What is played now stays, unless another number does much better: a melody is not to jump about. */
    if (covered[live->octaves + OCTAVES] >= (live->notes_sum > 2 ? 0.75f : ENOUGH) * most) return live->octaves;
    for (int distance = 0; distance <= OCTAVES; distance++)
        for (int sign = -1; sign <= 1; sign += 2)
            if (covered[sign * distance + OCTAVES] >= ENOUGH * most) return sign * distance;
    return live->octaves;
}

/* What to add to the loudness: half of what the input's median lacks, and what brings it well inside the range. */
ZP_SELDOM static float shift_into_range(const zoo_live *live) {
    float sum = 0, median = -80;
    for (uint32_t i = 0; i < LEVELS && sum < 0.5f * live->levels_sum; i++)
        sum += live->levels[i], median = (float)i - 80;
    float wanted = (median + live->setup.middle_db) / 2;
    if (wanted < live->setup.soft_db) wanted = live->setup.soft_db;
    if (wanted > live->setup.loud_db) wanted = live->setup.loud_db;
    return wanted - median;
}

static float approach(float now, float to, float step) {
    return now < to - step ? now + step : (now > to + step ? now - step : to);
}

/* Move a frame's features into the instrument's range. */
static void fit(zoo_live *live, zp_heard *heard, float seconds) {
    if (heard->f0_hz > 0) {
        const float midi = 69 + 12 * (float)zp_log2(heard->f0_hz / 440.0);
        const uint32_t note = midi < 0 ? 0 : (midi > NOTES - 1 ? NOTES - 1 : (uint32_t)(midi + 0.5f));
        const uint32_t level = (uint32_t)(heard->loudness_db + 80.5f);
        for (uint32_t i = 0; i < NOTES; i++) live->notes[i] *= live->forget;
        for (uint32_t i = 0; i < LEVELS; i++) live->levels[i] *= live->forget;
        live->notes[note] += 1;
        live->levels[level < LEVELS ? level : LEVELS - 1] += 1;
        live->notes_sum = live->notes_sum * live->forget + 1;
        live->levels_sum = live->levels_sum * live->forget + 1;
        const float from = live->note_hz, to = heard->f0_hz;
        const int leaps = from <= 0 || to > 1.05f * from || to < from / 1.05f;
        if (leaps) live->octaves = octaves_into_range(live); /* between notes only */
        if (live->levels_sum > SURE_FRAMES)
            live->shift_db = approach(live->shift_db, shift_into_range(live), SLEW_DB * seconds);
        heard->f0_hz *= octaves_up((float)live->octaves);
    }
    heard->loudness_db += live->shift_db;
}

static void play_frame(zoo_live *live) {
    const uint32_t hop = live->info.hop;
    const float seconds = (float)hop / (float)live->info.sample_rate, ramp = seconds / RAMP_SECONDS;
    const float input_gain = zoo_live_get(live, ZOO_LIVE_INPUT_GAIN);
    const float step = (input_gain - live->input_gain) / (float)hop;
    float peak = 0;
    for (uint32_t i = 0; i < hop; i++) {
        const float magnitude = live->waiting[i] < 0 ? -live->waiting[i] : live->waiting[i];
        if (magnitude > peak) peak = magnitude;
        live->waiting[i] *= live->input_gain + step * (float)(i + 1);
    }
    live->input_gain = input_gain;
    zp_heard heard = zp_features_step(live->features, live->waiting);
    const float asked = heard.f0_hz;
    const float gate_db = zoo_live_get(live, ZOO_LIVE_GATE_DB);
    live->open = heard.level_db > gate_db - (live->open ? GATE_HYSTERESIS_DB : 0.0f) && heard.level_db > -80;
    if (!live->open) heard.f0_hz = 0;
    live->state.input_peak = peak;
    live->state.input_hz = heard.f0_hz;
    live->state.input_db = heard.loudness_db;
    live->state.periodicity = heard.periodicity;
    uint32_t hand[2];
    if (take_words(&live->hands, hand, live->hand, 2)) /* else what was asked for before, for a frame more */
        live->hand_hz = zp_bits(hand[0]), live->hand_db = zp_bits(hand[1]);
    const int by_hand = !zp_nan(live->hand_db);
    if (by_hand) {
        heard.f0_hz = live->hand_hz;
        heard.loudness_db = live->hand_db;
    } else if (live->setup.fit) {
        fit(live, &heard, seconds);
    }
    live->note_hz = live->open ? asked : 0.0f;
    live->transpose = zoo_live_get(live, ZOO_LIVE_TRANSPOSE);
    live->loudness_db = approach(live->loudness_db, zoo_live_get(live, ZOO_LIVE_LOUDNESS_DB), 2.0f);
    heard.f0_hz *= octaves_up(live->transpose / 12);
    heard.loudness_db += live->loudness_db;
    /* what to turn the sound down by, where it is to be quieter than the instrument can play */
    float down_db = live->setup.fit ? live->setup.softest_db - heard.loudness_db : 0.0f;
    if (!(down_db > 0)) down_db = 0;
    if (live->setup.fit) {
        if (heard.loudness_db < live->setup.softest_db) heard.loudness_db = live->setup.softest_db;
        if (heard.loudness_db > live->setup.loudest_db) heard.loudness_db = live->setup.loudest_db;
    }
    heard.loudness_db = heard.loudness_db < -80 ? -80 : (heard.loudness_db > 0 ? 0 : heard.loudness_db);
    if (down_db > 60) down_db = 60;
    const int sounds = by_hand ? live->hand_db > -80 : live->open;
    const float quiet = sounds ? gain_of(-down_db) : 0.0f, dry = live->expander;
    live->expander = approach(live->expander, quiet, quiet > live->expander ? 1.0f : ramp);
    const float wet = live->reverb;
    live->reverb = approach(wet, zoo_live_get(live, ZOO_LIVE_REVERB), ramp);
    zp_player_levels(live->player, dry, live->expander, wet, live->reverb);
    live->state.f0_hz = heard.f0_hz;
    live->state.loudness_db = heard.loudness_db;
    live->state.octaves = live->octaves;
    live->state.shift_db = live->shift_db;
    live->state.frames++;
    show(live);
    const float *inputs[2] = {&heard.f0_hz, &heard.loudness_db};
    zoo_player_process(live->player, inputs, NULL, 1, live->frame);
    const float gain = live->gain, wanted = zoo_live_get(live, ZOO_LIVE_GAIN), apart = wanted - gain;
    live->gain = apart < REACHED && apart > -REACHED ? wanted : gain + apart * (ramp < 1 ? ramp : 1.0f);
    for (uint32_t i = 0; i < hop; i++) {
        float made[ZP_MOST_PUSHED];
        const float sample = live->frame[i] * (gain + (live->gain - gain) * (float)(i + 1) / (float)hop);
        const uint32_t count = zp_resampler_push(&live->out, sample, made);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t at = live->queue_at + live->queued;
            live->queue[at < live->queue_size ? at : at - live->queue_size] = made[k];
            live->queued++;
        }
    }
}

int zoo_live_process(zoo_live *live, const float *input, size_t samples, float *output) {
    if (!live || (samples && (!input || !output))) return ZOO_ERROR_ARGUMENT;
    for (size_t n = 0; n < samples; n++) {
        float made[ZP_MOST_PUSHED];
        const uint32_t count = zp_resampler_push(&live->in, zp_clean(input[n]), made);
        for (uint32_t k = 0; k < count; k++) {
            live->waiting[live->waited++] = made[k];
            if (live->waited == live->info.hop) {
                live->waited = 0;
                play_frame(live);
            }
        }
        output[n] = live->queue[live->queue_at]; /* there is always one: `first` sees to that */
        if (++live->queue_at == live->queue_size) live->queue_at = 0;
        live->queued--;
    }
    return ZOO_OK;
}

void zoo_live_read(const zoo_live *live, zoo_live_state *state) {
    if (!live || !state) return;
    uint32_t words[STATE_WORDS];
    int tries = 0;
    while (!take_words(&live->shows, words, live->shown, STATE_WORDS) && ++tries < TRIES) {}
    __builtin_memcpy(state, words, sizeof words);
}
