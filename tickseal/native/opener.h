/* Opener: what one holds, and its checks. */
#pragma once

#include "replay.h"
#include "segment.h"
#include "tree.h"

/* How an opening went: a place in core.errors.REASONS, or else. */
enum {
    OPENED = -1, NO_MEMORY = -2,
    TRUNCATED = 0, OVERSIZE, WRONG_VERSION, UNKNOWN_HANDLE, UNKNOWN_GENERATION, REVOKED, MALFORMED,
    EARLY, LATE, EXHAUSTED, REPLAYED, STALE, WRONG_KEY_HASH, FORGED, REASONS,
};

/* As many as the pure opener keeps, so that both derive as often. */
enum { KEYS_KEPT = 16 };

/* The key of a frame of which a segment has authenticated and more may come. */
typedef struct {
    uint64_t tick, frame;
    FrameKey key;
    bool used;
} KnownKey;

/* What was negotiated of time, and what follows from it. */
typedef struct {
    unsigned long long t0_ns, interval_ns, past_ns, skew_ns;
    unsigned long long span;      /* ticks that the window reaches back and ahead, together */
    unsigned long long last_tick; /* the last that exists */
    int epoch_bits;
    int has_tree; /* depth above 0; else one epoch is all */
} Timing;

/* The ticks that are accepted. */
typedef struct {
    uint64_t lower, count; /* the window */
    uint64_t room;         /* so far from lower on, ticks lie above the window, and then below it */
    int above;             /* why a tick above the window is refused */
    uint64_t held_first, held_last; /* whose keys are held; none where first > last */
} Ticks;

typedef struct {
    PyObject_HEAD
    bool is_live; /* the window is about now; else it is an announced range */
    bool gives_frames; /* a frame that comes in one segment is handed out as such */
    unsigned next_known, known_count; /* the place to be used next, and how many were ever */
    Walker *walker;
    PyObject *generation;
    PyObject *source;   /* named in each frame */
    PyObject *refusals; /* a Counter by reason */
    unsigned long long highest_tick, forgeries_left, opened, keys_derived;
    unsigned long long frames, frame_bytes; /* handed out as such */
    Layout layout;
    Timing timing;
    uint64_t earliest_ns, latest_ns; /* the reading of which the window was made */
    Ticks ticks;
    Replay replay;
    bool has_prepared;
    uint64_t prepared_tick;
    HmacState prepared; /* the way to the frame keys of the last tick */
    KnownKey known[KEYS_KEPT];
} Opener;

/* open(segment, now), its method; see tickseal.streams.opening. */
PyObject *opener_open(PyObject *object, PyObject *const *given, Py_ssize_t count);
/* open_frames(segments, openers, now), a function of the module. */
PyObject *open_frames(PyObject *module, PyObject *const *given, Py_ssize_t count);
/* Find the types and values that these answer with. False: exception set. */
bool find_answers(void);

/* Accept the ticks of section 4 at a reading of the clock. */
void set_window(Opener *self, uint64_t earliest_ns, uint64_t latest_ns);
/* The epoch of a tick. */
uint64_t epoch_of(const Opener *self, uint64_t tick);
/* Erase what lies before an epoch; reckon anew what is held, and erase what was derived of more. */
void puncture(Opener *self, uint64_t epoch);
/* Erase all that was derived. */
void drop_derived(Opener *self);

/* Do the checks of docs/protocol.md section 5.1, in their order. Answers OPENED, with the header
 * whole and the payload in out; or a reason, or NO_MEMORY. Needs no GIL. */
int check_segment(Opener *self, Aead *aead, const uint8_t *segment, size_t size, Header *header,
                  uint8_t *out);
