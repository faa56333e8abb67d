#include "replay.h"

#include <stdlib.h>
#include <string.h>

void replay_start(Replay *replay, uint64_t next, uint32_t segments_of_a_frame) {
    replay->next = replay->first = next;
    replay->more_words = (segments_of_a_frame + 63) / 64;
    replay->more_words -= replay->more_words > 0; /* the first 64 are always at hand */
}

void replay_free(Replay *replay) {
    for (int place = 0; place < WINDOW_FRAMES; place++)
        free(replay->more[place]);
}

int replay_check(const Replay *replay, uint64_t number, uint32_t index) {
    if (number >= replay->next)
        return REPLAY_NEW;
    if (replay->next - number > WINDOW_FRAMES || number < replay->first)
        return REPLAY_STALE;
    uint64_t place = number % WINDOW_FRAMES, bit = UINT64_C(1) << index % 64;
    if (replay->numbers[place] != number + 1)
        return REPLAY_NEW;
    if (index < 64)
        return replay->seen[place] & bit ? REPLAY_SEEN : REPLAY_NEW;
    const uint64_t *more = replay->more[place];
    return more != NULL && more[index / 64 - 1] & bit ? REPLAY_SEEN : REPLAY_NEW;
}

bool replay_commit(Replay *replay, uint64_t number, uint32_t index) {
    uint64_t place = number % WINDOW_FRAMES, bit = UINT64_C(1) << index % 64;
    if (index >= 64 && replay->more[place] == NULL) {
        replay->more[place] = calloc(replay->more_words, sizeof(uint64_t));
        if (replay->more[place] == NULL)
            return false;
    }
    if (replay->numbers[place] != number + 1) {
        replay->numbers[place] = number + 1;
        replay->seen[place] = 0;
        if (replay->more[place] != NULL)
            memset(replay->more[place], 0, replay->more_words * sizeof(uint64_t));
    }
    if (index < 64)
        replay->seen[place] |= bit;
    else
        replay->more[place][index / 64 - 1] |= bit;
    if (number >= replay->next)
        replay->next = number + 1;
    return true;
}
