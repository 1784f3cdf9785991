/* The player library: plays instrument files, frame by frame, in real time.
 *
 * Requirements it meets:
 *
 * - C99 and no library, not even libm: of a platform it needs memcpy, memmove and memset, which compilers ask for; no
 *   allocation, lock, file, thread or global variable: the caller gives the memory, once;
 * - a file is checked in full before anything of it is played, and is only read: any number of instances may share it;
 * - what it plays is what the model plays that the file was made from, `latency` samples later;
 * - f0 that is not finite or not positive is unvoiced; loudness of NaN or -inf is -80, +inf is 0: the output is finite.
 *
 * Typical use:
 *
 *     zoo_info info;
 *     int code = zoo_check(file, file_bytes, &info);              // 0, or an error: zoo_error_text(code)
 *     size_t bytes = zoo_player_bytes(file, file_bytes, voices);
 *     void *memory = aligned_alloc(64, bytes);                    // bytes is a multiple of 64
 *     zoo_player *player = zoo_player_init(memory, bytes, file, file_bytes, voices, seed, &code);
 *     const float *inputs[2] = {f0_hz, loudness_db};
 *     zoo_player_process(player, inputs, NULL, frames, audio);
 */
#ifndef ZOO_PLAYER_H
#define ZOO_PLAYER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The functions below are the only symbols that the library shows, where it is compiled with -fvisibility=hidden (with
 * other flags there are more, all of which begin with zp_). ZOO_BUILDING is defined while it is compiled. */
#if defined(_WIN32) && defined(ZOO_BUILDING)
#define ZOO_API __declspec(dllexport)
#elif defined(__GNUC__)
#define ZOO_API __attribute__((visibility("default")))
#else
#define ZOO_API
#endif

#define ZOO_FORMAT_VERSION 1
#define ZOO_MAX_INPUTS 16

enum {
    ZOO_OK = 0,
    ZOO_ERROR_TOO_SHORT = 1,  /* the file ends before what it announces */
    ZOO_ERROR_NOT_OURS = 2,   /* it does not begin as an instrument file does */
    ZOO_ERROR_NEWER = 3,      /* of a format that this library does not know */
    ZOO_ERROR_CHECKSUM = 4,   /* damaged on its way */
    ZOO_ERROR_LAYOUT = 5,     /* sizes, offsets or tables that contradict each other */
    ZOO_ERROR_OPERATION = 6,  /* an operation that is unknown, or whose numbers do not fit */
    ZOO_ERROR_NOT_FINITE = 7, /* weights that are no numbers */
    ZOO_ERROR_TOO_LARGE = 8,  /* more than this library is made for */
    ZOO_ERROR_ARGUMENT = 9,   /* of a call: a null pointer, no voices, too little memory */
    ZOO_ERROR_ALIGNMENT = 10  /* a file does not begin at a multiple of 8 bytes, or a player at one of 64 */
};

typedef struct {
    uint32_t sample_rate; /* Hz */
    uint32_t hop;         /* samples per frame */
    uint32_t latency;     /* samples that the audio is late */
    uint32_t inputs;      /* named curves that it is driven by, one value per frame */
    uint32_t weights;     /* numbers that it holds */
    const char *text;     /* JSON, UTF-8, not terminated: name, input names, range, card, hashes */
    size_t text_bytes;
} zoo_info;

typedef struct zoo_player zoo_player;

/* Check a file in full. `info` may be NULL. Returns 0 or an error. */
ZOO_API int zoo_check(const void *file, size_t file_bytes, zoo_info *info);

/* What an error means, in English; never NULL. */
ZOO_API const char *zoo_error_text(int code);

/* Memory for a player of so many voices; 0 where the file is not sound or `voices` is 0. */
ZOO_API size_t zoo_player_bytes(const void *file, size_t file_bytes, uint32_t voices);

/* Make a player in memory of the caller's, at a multiple of 64 bytes. The file must stay as and where it is.
 * NULL where something is wrong; then *error says what (error may be NULL). */
ZOO_API zoo_player *zoo_player_init(void *memory, size_t bytes, const void *file, size_t file_bytes, uint32_t voices,
                                    uint64_t seed, int *error);

/* Begin anew, in silence, with the same noise. */
ZOO_API void zoo_player_reset(zoo_player *player);

/* Play the next frames.
 *
 * inputs: one pointer per input, each [voices][frames].
 * noise:  [voices][frames * hop], uniform in [-1, 1); NULL: drawn from the seed.
 * frames: any number, 0 too.
 * audio:  [voices][frames * hop], written. */
ZOO_API int zoo_player_process(zoo_player *player, const float *const *inputs, const float *noise, size_t frames,
                               float *audio);

/* The same, turned down or up as it plays, so that a reverb's tail stays.
 *
 * levels: [voices][frames + 1], factors of the sound before the reverb: at the first frame's begin, and at each end. */
ZOO_API int zoo_player_process_levels(zoo_player *player, const float *const *inputs, const float *noise,
                                      const float *levels, size_t frames, float *audio);

/* What is still to come when no frame follows; then begin anew.
 *
 * audio: [voices][latency], written, at the last frame's level. A reverb's tail is cut off there: to hear it, play
 * silence first. */
ZOO_API int zoo_player_finish(zoo_player *player, float *audio);

ZOO_API uint32_t zoo_player_voices(const zoo_player *player);

/* ---- playing live: live_features.c, live.c ----
 *
 * `zoo_features` measures pitch and loudness as they are heard live: causally, a frame at a time. */

enum {
    ZOO_LOUDNESS_A_WEIGHTED = 0, /* A-weighted power in dB of full scale */
    ZOO_LOUDNESS_MEAN_DB = 1     /* the mean over all bins of their A-weighted dB, as the thesis has it */
};

typedef struct {
    uint32_t sample_rate;  /* Hz, 4,000 to 192,000 */
    uint32_t hop;          /* samples per frame */
    float fmin_hz;         /* lowest pitch, from 20 and a 3,200th of the rate: the higher, the sooner a pitch is heard, and
                            * the less it costs */
    float fmax_hz;         /* highest pitch: from 1.5 fmin to a quarter of the rate */
    uint32_t loudness;     /* ZOO_LOUDNESS_... */
    float loudness_scale;  /* what is heard, times this and */
    float loudness_db;     /* with this added, is what the offline features measure; usually 1 and 0 */
} zoo_features_setup;

typedef struct zoo_features zoo_features;

/* Memory that it needs; 0 where a number is out of range. */
ZOO_API size_t zoo_features_bytes(const zoo_features_setup *setup);

/* Make it in memory of the caller's, at a multiple of 64 bytes; NULL where something is wrong. */
ZOO_API zoo_features *zoo_features_init(void *memory, size_t bytes, const zoo_features_setup *setup);

/* By how many samples a frame's values are older than its end: a pitch (the lowest; half of its window, which is shorter
 * for higher ones), a loudness (its window's middle). Where the pitch jumps, the new one is heard at most another `pitch`
 * and `hold` later: most of its window must be new, and a jump that may be an error is held back. Each may be NULL. */
ZOO_API void zoo_features_latency(const zoo_features *features, uint32_t *pitch, uint32_t *loudness, uint32_t *hold);

/* Measure the next frames.
 *
 * samples:     [frames * hop]; what is not finite counts as 0.
 * f0_hz:       [frames], 0 where unvoiced.
 * loudness_db: [frames], -80 to 0.
 * periodicity: [frames], 0 to 1; may be NULL. */
ZOO_API int zoo_features_process(zoo_features *features, const float *samples, size_t frames, float *f0_hz,
                                 float *loudness_db, float *periodicity);

/* `zoo_live` plays an instrument that follows a sound: input and output at the host's rate, in blocks of any size. */
typedef struct {
    uint32_t sample_rate;     /* the host's, in Hz, of input and output: 4,000 to 768,000 */
    uint32_t loudness;        /* the next five as in zoo_features_setup */
    float fmin_hz, fmax_hz;
    float loudness_scale, loudness_db;
    uint64_t seed;            /* of the noise */
    uint32_t fit;             /* whether to move the input into the instrument's range, which is: */
    float lowest_hz, highest_hz;                               /* quantiles 0.01 and 0.99 of its pitch */
    float softest_db, soft_db, middle_db, loud_db, loudest_db; /* 0.01, 0.1, 0.5, 0.9 and 1 of its loudness */
} zoo_live_setup;

/* What may be changed while it plays, from another thread, too; nothing clicks. */
enum {
    ZOO_LIVE_TRANSPOSE = 0, /* semitones, -120 to 120; usually 0 */
    ZOO_LIVE_LOUDNESS_DB,   /* added to what drives the instrument, -80 to 80; 0 */
    ZOO_LIVE_INPUT_GAIN,    /* a factor, 0 to 1,000; 1 */
    ZOO_LIVE_GATE_DB,       /* input of a lower A-weighted level is silence, -200 to 0; -65 */
    ZOO_LIVE_REVERB,        /* how much of the instrument's own reverb is heard, 0 to 1; 1 */
    ZOO_LIVE_GAIN,          /* of the output, a factor, 0 to 1,000; 1 */
    ZOO_LIVE_SETTINGS
};

/* How late the output is, in samples at the host's rate: `total` from a steady sound of the lowest pitch, fmin, to the
 * same sound as played; `soonest` for pitches from about 200 Hz, whose window is the shortest. Where the pitch jumps, at
 * most `analysis` and `hold` more pass: most of its window must be new, and a jump that may be an error is held back. */
typedef struct {
    uint32_t total, analysis, frame, resampling, synth, hold, soonest;
} zoo_live_delays;

/* What the last frame was. */
typedef struct {
    float input_peak, input_hz, input_db, periodicity; /* heard: full scale is 1; input_hz is 0 where unvoiced */
    float f0_hz, loudness_db;                          /* played */
    float shift_db;                                    /* by what fit has moved the loudness, and the pitch: */
    int32_t octaves;
    uint64_t frames; /* since the beginning */
} zoo_live_state;

/* Fill a setup with what is usual for a file: its own kind of loudness; fit, with quantiles of its own range (between
 * those that the file has, on the line that joins them), where it has one; fmin a semitone under its lowest note, or 80;
 * fmax 2,000. Change of it what you like, before zoo_live_init. Returns 0, or an error: ZOO_ERROR_ARGUMENT where the
 * instrument is driven by something else than f0 and loudness, in that order, or by a loudness that is not measured here;
 * ZOO_ERROR_LAYOUT where its range cannot be read. */
ZOO_API int zoo_live_usual(const void *file, size_t file_bytes, uint32_t sample_rate, zoo_live_setup *setup);

typedef struct zoo_live zoo_live;

/* Memory that it needs, the player's included; 0 where the file or a number of the setup is not sound, or the instrument
 * has not two inputs. That these are f0 and loudness, in that order, is what zoo_live_usual looks at. */
ZOO_API size_t zoo_live_bytes(const void *file, size_t file_bytes, const zoo_live_setup *setup);

/* Make it, as zoo_player_init does. */
ZOO_API zoo_live *zoo_live_init(void *memory, size_t bytes, const void *file, size_t file_bytes,
                                const zoo_live_setup *setup, int *error);

/* Begin anew, in silence; settings stay, and what zoo_live_drive has asked for. */
ZOO_API void zoo_live_reset(zoo_live *live);

/* Play as many samples as are given; any number of them. `output` may be `input`. */
ZOO_API int zoo_live_process(zoo_live *live, const float *input, size_t samples, float *output);

ZOO_API int zoo_live_set(zoo_live *live, uint32_t setting, float value);
/* Play by hand, from keys for example: from the next frame on this pitch (0: unvoiced) and loudness in place of what is
 * heard, not moved into the range, but transposed and made louder as set. A loudness of NaN: it listens again, as it
 * does at first. From another thread, too, but from one at a time. */
ZOO_API int zoo_live_drive(zoo_live *live, float f0_hz, float loudness_db);
ZOO_API float zoo_live_get(const zoo_live *live, uint32_t setting);
ZOO_API void zoo_live_latency(const zoo_live *live, zoo_live_delays *delays);
/* What the last frame was; from any thread. */
ZOO_API void zoo_live_read(const zoo_live *live, zoo_live_state *state);

#ifdef __cplusplus
}
#endif

#endif
