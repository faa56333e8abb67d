/* The replay window: which segments of the last 1024 frames were opened (docs/protocol.md 5.1). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_FRAMES = 1024 };

/* The segments of one frame, a bit each. */
typedef struct {
    uint32_t words;
    uint64_t seen[];
} Segments;

/* Rings indexed by the frame number, never shifted (RFC 6479). 128 bytes tell of the first segment
 * of each frame; only streams with frames of several segments have more. */
typedef struct {
    unsigned long long next; /* one beyond the highest frame number committed */
    uint64_t first;          /* frames before it were never expected here */
    uint64_t firsts[WINDOW_FRAMES / 64];
    Segments **others; /* NULL, or for each frame NULL or its segments but the first */
} Replay;

enum { REPLAY_NEW, REPLAY_SEEN, REPLAY_STALE };

void replay_start(Replay *replay, uint64_t next);
void replay_free(Replay *replay);
int replay_check(const Replay *replay, uint64_t number, uint32_t index);
/* Remember a segment; false, and nothing remembered, where memory is out. */
bool replay_commit(Replay *replay, uint64_t number, uint32_t index);
