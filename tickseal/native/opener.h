/* Opener: what one holds, and its checks. */
#ifndef TICKSEAL_OPENER_H
#define TICKSEAL_OPENER_H

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
enum { KEYS_KEPT = 16, TICKS_KEPT = 8 };

/* The key of a frame of which a segment has authenticated and more may come. */
typedef struct {
    bool used;
    uint64_t tick, frame;
    FrameKey key;
} KnownKey;

/* What was negotiated of time, and what follows from it. */
typedef struct {
    unsigned long long t0_ns, interval_ns, past_ns, skew_ns;
    unsigned long long span;      /* ticks that the window reaches back and ahead, together */
    unsigned long long last_tick; /* the last that exists */
    int epoch_bits;
    int has_tree; /* depth above 0; else one epoch is all */
} Timing;

/* The ticks that are accepted. All but base count from base, so that they are small and signed. */
typedef struct {
    uint64_t base;               /* modulo 2^64 */
    bool is_base_negative;       /* base - 2^64 is meant */
    bool is_beyond;              /* base lies above 2^64: no such tick exists */
    int64_t lower, upper;        /* the window */
    int64_t held_from, held_until; /* whose keys are held */
    int64_t count;               /* beyond the last that exists */
    int above;                   /* why a tick above the window is refused */
} Ticks;

typedef struct {
    PyObject_HEAD
    bool is_busy; /* it works, perhaps without the GIL, and nobody else may touch it */
    bool is_live; /* the window is about now; else it is an announced range */
    unsigned known_count;                /* places used ever */
    unsigned next_known, next_prepared;  /* places to be used next: the oldest makes room */
    unsigned prepared_used;              /* a bit for each place */
    Walker *walker;
    PyObject *now; /* the reading of which the window was made, or NULL */
    Ticks ticks;
    unsigned long long highest_tick, forgeries_left, opened, keys_derived;
    Layout layout;
    Timing timing;
    uint64_t prepared_ticks[TICKS_KEPT];
    Replay replay;
    PyObject *opened_type, *frame_type; /* OpenedSegment, Frame */
    PyObject *source;                   /* the generation, for frames */
    PyObject *refused;                  /* a Refused for each of the reasons */
    PyObject *refusals;                 /* a Counter by reason */
    HmacState prepared[TICKS_KEPT];     /* the way to the frame keys of a tick */
    KnownKey known[KEYS_KEPT];
} Opener;

/* Whether it can be touched now. False: exception set. */
bool opener_is_free(const Opener *self);

/* Its methods that open segments, of METH_FASTCALL | METH_KEYWORDS; see tickseal.opening. */
PyObject *opener_open(PyObject *object, PyObject *const *given, Py_ssize_t positional,
                      PyObject *keywords);
PyObject *opener_open_many(PyObject *object, PyObject *const *given, Py_ssize_t positional,
                           PyObject *keywords);
PyObject *opener_open_frames(PyObject *object, PyObject *const *given, Py_ssize_t positional,
                             PyObject *keywords);

/* The window of section 4 at a reading of the clock, both below 2^62. */
void set_window(Opener *self, uint64_t earliest_ns, uint64_t latest_ns);
/* Reckon anew what of the window is held, and erase what was derived for other ticks. */
void drop_unheld(Opener *self);
/* Erase all that was derived. */
void drop_derived(Opener *self);

/* The checks of docs/protocol.md section 5.1, in their order: 1 (from the second on) to 4, 5 and 6,
 * 7 and 8. Each answers OPENED, a reason, or NO_MEMORY, and needs no GIL. head is a copy, so that
 * what is judged is what is authenticated. */
int check_form(const Layout *layout, const uint8_t head[HEADER_MOST], size_t size, Header *header);
int check_place(const Opener *self, Header *header);
int check_key(Opener *self, Aead *aead, const uint8_t head[HEADER_MOST], const Header *header,
              const uint8_t *segment, size_t size, uint8_t *out);

#endif
