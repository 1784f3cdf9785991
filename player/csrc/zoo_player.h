/* The player library: plays instrument files, frame by frame, in real time.
 *
 * Requirements it meets:
 *
 * - C99 and no library at all, not even libm; no allocation, lock, file, thread or global variable: the caller gives
 *   the memory, once;
 * - a file is checked in full before anything of it is played, and is only read: any number of instances may share it;
 * - what it plays is what the model plays that the file was made from, `latency` samples later;
 * - f0 that is not finite or not positive is unvoiced; loudness of NaN or -inf is -80, +inf is 0: the output is finite.
 *
 * Typical use:
 *
 *     zoo_info info;
 *     int code = zoo_check(file, file_bytes, &info);              // 0, or an error: zoo_error_text(code)
 *     size_t bytes = zoo_player_bytes(file, file_bytes, voices);
 *     zoo_player *player = zoo_player_init(malloc(bytes), bytes, file, file_bytes, voices, seed);
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

/* The functions below are the only symbols that the library shows. ZOO_BUILDING is defined while it is compiled. */
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

/* What is still to come when no frame follows; then begin anew.
 *
 * audio: [voices][latency], written. A reverb's tail is cut off there: to hear it, play silence first. */
ZOO_API int zoo_player_finish(zoo_player *player, float *audio);

ZOO_API uint32_t zoo_player_voices(const zoo_player *player);

#ifdef __cplusplus
}
#endif

#endif
