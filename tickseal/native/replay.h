/* The replay window: which segments of the last 1024 frames were opened (docs/protocol.md 5.1). */
#ifndef TICKSEAL_REPLAY_H
#define TICKSEAL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum { WINDOW_FRAMES = 1024 };

/* A ring indexed by the frame number, never shifted (RFC 6479). */
typedef struct {
    unsigned long long next; /* one beyond the highest frame number committed */
    uint64_t first;          /* frames before it were never expected here */
    uint64_t numbers[WINDOW_FRAMES]; /* one beyond the frame that has the place; 0: none */
    uint64_t seen[WINDOW_FRAMES];    /* its segments 0..63 */
    /* Its further segments, for frames that have any; grown at need, kept, freed at the end. */
    uint64_t *more[WINDOW_FRAMES];
    uint32_t more_words;
} Replay;

enum { REPLAY_NEW, REPLAY_SEEN, REPLAY_STALE };

void replay_start(Replay *replay, uint64_t next, uint32_t segments_of_a_frame);
void replay_free(Replay *replay);
int replay_check(const Replay *replay, uint64_t number, uint32_t index);
/* Remember a segment; false, and nothing remembered, where memory is out. */
bool replay_commit(Replay *replay, uint64_t number, uint32_t index);

#endif
