/* Which ticks an opener accepts (docs/protocol.md section 4), and whose keys it holds. */
#include "opener.h"

void set_window(Opener *self, uint64_t earliest_ns, uint64_t latest_ns) {
    if (earliest_ns == self->earliest_ns && latest_ns == self->latest_ns)
        return;
    const Timing *timing = &self->timing;
    uint64_t t0 = timing->t0_ns, interval = timing->interval_ns;
    uint64_t half = UINT64_C(1) << (self->layout.tick_bits - 1);
    uint64_t lower = 0, upper = 0, count = 0, room = 2 * half;
    bool has_begun = latest_ns >= t0 || t0 - latest_ns <= timing->skew_ns;
    if (has_begun && earliest_ns <= latest_ns) {
        upper = (latest_ns - t0 + timing->skew_ns) / interval;
        if (earliest_ns >= t0 && earliest_ns - t0 > timing->past_ns)
            lower = (earliest_ns - t0 - timing->past_ns) / interval;
        if (upper - lower >= 2 * half - 1) {
            uint64_t middle = lower + (upper - lower) / 2;
            lower = middle - half + 1;
            upper = middle + half - 1;
        }
        count = upper - lower + 1;
        room = (upper - lower) / 2 + half;
    }
    self->earliest_ns = earliest_ns;
    self->latest_ns = latest_ns;
    self->ticks.lower = lower;
    self->ticks.count = count;
    self->ticks.room = room;
}

uint64_t epoch_of(const Opener *self, uint64_t tick) {
    return self->timing.has_tree ? tick >> self->timing.epoch_bits : 0;
}

void puncture(Opener *self, uint64_t epoch) {
    const Walker *walker = self->walker;
    int bits = self->timing.epoch_bits;
    uint64_t most = UINT64_MAX >> bits, first = 0, last = UINT64_MAX;
    walker_puncture(self->walker, epoch);
    if (walker->count == 0 || walker_start(walker) > most) {
        first = 1;
        last = 0;
    } else if (self->timing.has_tree) {
        first = walker_start(walker) << bits;
        if (walker->end <= most)
            last = (walker->end << bits) - 1;
    }
    self->ticks.held_first = first;
    self->ticks.held_last = last;
    for (unsigned i = 0; i < self->known_count; i++)
        if (self->known[i].tick < first || self->known[i].tick > last)
            CLEANSE(self->known[i]);
    if (self->prepared_tick < first || self->prepared_tick > last) {
        CLEANSE(self->prepared);
        self->has_prepared = false;
    }
}

void drop_derived(Opener *self) {
    CLEANSE(self->known);
    CLEANSE(self->prepared);
    self->has_prepared = false;
}
