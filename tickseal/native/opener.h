/* Opener: what one holds, and its checks. */
#ifndef TICKSEAL_OPENER_H
#define TICKSEAL_OPENER_H

#include "replay.h"
#include "segment.h"

/* How an opening went: a place in core.errors.REASONS, or else. */
enum {
    OPENED = -1, FAILED = -2, /* an exception is set */
    TRUNCATED = 0, OVERSIZE, WRONG_VERSION, UNKNOWN_HANDLE, UNKNOWN_GENERATION, REVOKED, MALFORMED,
    EARLY, LATE, EXHAUSTED, REPLAYED, STALE, WRONG_KEY_HASH, FORGED, REASONS,
};

/* As many as the pure opener keeps, so that both derive as often. */
enum { KEYS_KEPT = 16, TICKS_KEPT = 8 };

/* The key of a frame of which a segment has authenticated and more may come. */
typedef struct {
    bool used;
    uint64_t tick, frame;
    FrameKey key;
} KnownKey;

typedef struct {
    bool used;
    uint64_t tick;
    HmacState state;
} PreparedTick;

/* Ticks as Python last said. All but base count from base, so that they are small and signed. */
typedef struct {
    unsigned long long base;         /* modulo 2^64 */
    long long lower, upper;          /* the window */
    long long held_from, held_until; /* whose keys are held */
    long long count;                 /* beyond the last that exists */
    int beyond;                      /* why a tick above the window is refused */
} Ticks;

/* A lock of sorts. While an opener works, the GIL may be let go, and nobody else may touch it;
 * while it asks Python, that may well set its ticks. */
typedef enum { IDLE, WORKING, ASKING } Phase;

typedef struct {
    PyObject_HEAD
    Layout layout;
    Phase phase;
    Ticks ticks;
    unsigned long long highest_tick, forgeries_left, opened, keys_derived;
    unsigned next_known, next_prepared; /* places to be used next: the oldest makes room */
    KnownKey known[KEYS_KEPT];
    PreparedTick prepared[TICKS_KEPT];
    Replay replay;
    PyObject *now;         /* the reading of which the window was made, or NULL */
    PyObject *opened_type; /* OpenedSegment */
    PyObject *refused;     /* a Refused for each of the reasons */
    PyObject *refusals;    /* a Counter by reason */
} Opener;

/* The state of a thread that has let go of the GIL; NULL while it holds it. */
typedef PyThreadState *Released;

/* Hold the GIL from here on, at the latest. */
static inline void hold(Released *thread) {
    if (*thread != NULL)
        PyEval_RestoreThread(*thread);
    *thread = NULL;
}

/* Call a method; NULL with an exception set. Pointers into the opener may be stale after it. */
PyObject *ask(Opener *self, const char *method, PyObject *argument);

/* The checks of docs/protocol.md section 5.1, in their order: 1 (from the second on) to 4, 5 and 6,
 * 7 and 8. Each answers OPENED, a reason, or FAILED. Only the last may need the GIL, to ask Python,
 * and then takes it. head is a copy, so that what is judged is what is authenticated. */
int check_form(const Layout *layout, const uint8_t head[HEADER_MOST], size_t size, Header *header);
int check_place(const Opener *self, Header *header);
int check_key(Opener *self, Released *thread, Aead *aead, const uint8_t head[HEADER_MOST],
              const Header *header, const uint8_t *segment, size_t size, uint8_t *out);

#endif
