/* An example: plays a scale into a wav file, or to standard output. README.md says how to compile it. */
#include <stdio.h>
#include "instrument.h"
#include "zoo_player.h"

/* A player lies where you put it, at a multiple of 64 bytes. */
static unsigned char memory[ZOO_INSTRUMENT_MEMORY] __attribute__((aligned(64)));

int main(int count, char **words) {
    static const float scale_hz[8] = {440.0f, 493.883f, 554.365f, 587.33f, 659.255f, 739.989f, 830.609f, 880.0f};
    zoo_info info;
    int error = zoo_check(zoo_instrument, zoo_instrument_bytes, &info);
    if (error) return fprintf(stderr, "%s\n", zoo_error_text(error)), 1;
    zoo_player *player =
        zoo_player_init(memory, sizeof memory, zoo_instrument, zoo_instrument_bytes, 1, 0, &error);
    if (!player) return fprintf(stderr, "%s\n", zoo_error_text(error)), 1;
    if (count > 1 && !freopen(words[1], "wb", stdout)) return perror(words[1]), 1;

    const uint32_t note = info.sample_rate / info.hop / 4, frames = 8 * note; /* frames of a quarter of a second */
    const uint32_t bytes = frames * info.hop * 4;
    const uint32_t header[11] = {0x46464952, 36 + bytes, 0x45564157, 0x20746d66, 16, 0x00010003, /* float32, mono */
                                 info.sample_rate, 4 * info.sample_rate, 0x00200004, 0x61746164, bytes};
    fwrite(header, 4, 11, stdout); /* on a little-endian machine, as instruments are */

    static float audio[ZOO_INSTRUMENT_HOP];
    float values[ZOO_MAX_INPUTS] = {0}; /* pitch in Hz, loudness in dB, and what else drives the instrument */
    const float *inputs[ZOO_MAX_INPUTS];
    for (uint32_t i = 0; i < info.inputs; i++) inputs[i] = &values[i];
    for (uint32_t t = 0; t < frames; t++) { /* in firmware: once for every ZOO_INSTRUMENT_HOP samples */
        values[0] = scale_hz[t / note];
        values[1] = -20.0f;
        error = zoo_player_process(player, inputs, NULL, 1, audio);
        if (error) return fprintf(stderr, "%s\n", zoo_error_text(error)), 1;
        fwrite(audio, 4, info.hop, stdout);
    }
    return fclose(stdout) ? 1 : 0;
}
