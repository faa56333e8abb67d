/* Which ticks an opener accepts (docs/protocol.md section 4), and whose keys it holds. */
#include "opener.h"

/* Beyond what a header can tell apart, differences are bounded to what fits. */
static const uint64_t FAR = UINT64_C(1) << 62;

/* Where a tick lies from the base on. */
static int64_t from_base(const Ticks *ticks, uint64_t tick) {
    if (ticks->is_base_negative)
        return (int64_t)((tick < FAR ? tick : FAR) - ticks->base);
    uint64_t ahead = tick - ticks->base, behind = ticks->base - tick;
    if (tick >= ticks->base)
        return (int64_t)(ahead < FAR ? ahead : FAR);
    return -(int64_t)(behind < FAR ? behind : FAR);
}

void set_window(Opener *self, uint64_t earliest_ns, uint64_t latest_ns) {
    const Timing *timing = &self->timing;
    Ticks *ticks = &self->ticks;
    int64_t t0 = (int64_t)timing->t0_ns, interval = (int64_t)timing->interval_ns;
    int64_t from = (int64_t)earliest_ns - (int64_t)timing->past_ns - t0;
    int64_t until = (int64_t)latest_ns + (int64_t)timing->skew_ns - t0;
    int64_t lower = 0, upper = -1, base = 0;
    if (until >= 0) {
        lower = from > 0 ? from / interval : 0;
        upper = until / interval;
        int64_t middle = (lower + upper) / 2, half = INT64_C(1) << (self->layout.tick_bits - 1);
        if (upper - lower >= 2 * half - 1) {
            lower = middle - half + 1;
            upper = middle + half - 1;
        }
        base = middle - half;
    }
    /* A reading comes with each batch of segments, another window with each tick only. */
    if (ticks->base == (uint64_t)base && ticks->is_base_negative == (base < 0) &&
        ticks->lower == lower - base && ticks->upper == upper - base && !ticks->is_beyond)
        return;
    ticks->base = (uint64_t)base;
    ticks->is_base_negative = base < 0;
    ticks->is_beyond = false;
    ticks->lower = lower - base;
    ticks->upper = upper - base;
    drop_unheld(self);
}

/* Whether any tick's keys are held, and which: [first, last]. */
static bool held_ticks(const Opener *self, uint64_t *first, uint64_t *last) {
    const Walker *walker = self->walker;
    int bits = self->timing.epoch_bits;
    uint64_t start = walker_start(walker), most = UINT64_MAX >> bits;
    *first = 0;
    *last = UINT64_MAX;
    if (!self->timing.has_tree)
        return walker->count > 0;
    if (walker->count == 0 || start > most)
        return false;
    *first = start << bits;
    if (walker->end <= most)
        *last = (walker->end << bits) - 1;
    return true;
}

void drop_unheld(Opener *self) {
    Ticks *ticks = &self->ticks;
    uint64_t first, last;
    bool any = held_ticks(self, &first, &last);
    ticks->held_from = ticks->held_until = 0;
    if (any && !ticks->is_beyond) {
        ticks->held_from = from_base(ticks, first);
        ticks->held_until = from_base(ticks, last) + 1;
    }
    ticks->count =
        ticks->is_beyond ? -(int64_t)FAR : from_base(ticks, self->timing.last_tick) + 1;
    for (unsigned i = 0; i < self->known_count; i++) {
        KnownKey *known = &self->known[i];
        if (known->used && (!any || known->tick < first || known->tick > last))
            CLEANSE(*known);
    }
    for (int i = 0; i < TICKS_KEPT; i++) {
        uint64_t tick = self->prepared_ticks[i];
        if (self->prepared_used >> i & 1 && (!any || tick < first || tick > last)) {
            CLEANSE(self->prepared[i]);
            self->prepared_used &= ~(1u << i);
        }
    }
}

void drop_derived(Opener *self) {
    CLEANSE(self->known);
    CLEANSE(self->prepared);
    self->prepared_used = 0;
}
