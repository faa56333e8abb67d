/* The epoch tree (docs/protocol.md section 3): tickseal.core.keytree.Walker for the hot path. */
#pragma once

#include "segment.h"

enum { LEVELS_MOST = 48 };

typedef struct {
    uint64_t index; /* in its level */
    unsigned level; /* above the leaves */
    uint8_t secret[SECRET_BYTES];
} Node;

/* What covers the epochs ahead, and nothing behind. */
typedef struct {
    PyObject_HEAD
    bool is_busy;  /* an opener works with it without the GIL, and nobody else may touch either */
    int count;
    Node *nodes;            /* the nearest last; room for LEVELS_MOST more than at the start */
    unsigned long long end; /* the first epoch that is never covered */
    int path_count;
    Node path[LEVELS_MOST]; /* to the leaf that walker_secret() gave last, from the root down */
} Walker;

/* Whether it can be touched now. False: exception set. */
bool walker_is_free(const Walker *self);
/* The first epoch that is covered; end where none is. */
uint64_t walker_start(const Walker *self);
/* The secret of an epoch, good until the next call; NULL where it is not covered. */
const uint8_t *walker_secret(Walker *self, uint64_t epoch);
/* Erase all before an epoch. */
void walker_puncture(Walker *self, uint64_t epoch);
/* Erase everything. */
void walker_wipe(Walker *self);
