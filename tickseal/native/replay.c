#include "replay.h"

#include <stdlib.h>
#include <string.h>

void replay_start(Replay *replay, uint64_t next) { replay->next = replay->first = next; }

void replay_free(Replay *replay) {
    for (int place = 0; replay->others != NULL && place < WINDOW_FRAMES; place++)
        free(replay->others[place]);
    free(replay->others);
    replay->others = NULL;
}

int replay_check(const Replay *replay, uint64_t number, uint32_t index) {
    if (number >= replay->next)
        return REPLAY_NEW;
    if (replay->next - number > WINDOW_FRAMES || number < replay->first)
        return REPLAY_STALE;
    uint64_t place = number % WINDOW_FRAMES, word = replay->firsts[place / 64], bit = place;
    if (index > 0) {
        const Segments *others = replay->others != NULL ? replay->others[place] : NULL;
        word = others != NULL && index / 64 < others->words ? others->seen[index / 64] : 0;
        bit = index;
    }
    return word >> bit % 64 & 1 ? REPLAY_SEEN : REPLAY_NEW;
}

/* Make room for a segment but the first; false where memory is out. */
static bool make_room(Replay *replay, uint64_t place, uint32_t index) {
    if (replay->others == NULL)
        replay->others = calloc(WINDOW_FRAMES, sizeof *replay->others);
    if (replay->others == NULL)
        return false;
    Segments *old = replay->others[place];
    uint32_t before = old != NULL ? old->words : 0, words = before > 0 ? before : 1;
    while (words <= index / 64)
        words *= 2;
    if (words == before)
        return true;
    Segments *grown = realloc(old, sizeof *grown + words * sizeof grown->seen[0]);
    if (grown == NULL)
        return false;
    memset(grown->seen + before, 0, (words - before) * sizeof grown->seen[0]);
    grown->words = words;
    replay->others[place] = grown;
    return true;
}

/* Forget what was there 1024 frames ago. */
static void clear_place(Replay *replay, uint64_t place) {
    replay->firsts[place / 64] &= ~(UINT64_C(1) << place % 64);
    Segments *others = replay->others != NULL ? replay->others[place] : NULL;
    if (others != NULL)
        memset(others->seen, 0, others->words * sizeof others->seen[0]);
}

bool replay_commit(Replay *replay, uint64_t number, uint32_t index) {
    uint64_t place = number % WINDOW_FRAMES;
    if (index > 0 && !make_room(replay, place, index))
        return false;
    uint64_t next = replay->next;
    if (number >= next && number - next >= WINDOW_FRAMES)
        next = number + 1 - WINDOW_FRAMES; /* beyond a whole window, each place once is enough */
    for (; next <= number; next++)
        clear_place(replay, next % WINDOW_FRAMES);
    if (number >= replay->next)
        replay->next = number + 1;
    if (index == 0)
        replay->firsts[place / 64] |= UINT64_C(1) << place % 64;
    else
        replay->others[place]->seen[index / 64] |= UINT64_C(1) << index % 64;
    return true;
}
