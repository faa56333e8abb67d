/* The checks of docs/protocol.md section 5.1, and what follows when a segment has passed them. */
#include "opener.h"

#include <string.h>

/* Checks 1 to 4, but for what the receiver does before an opener is found. */
static int check_form(const Layout *layout, const uint8_t *head, size_t size, Header *header) {
    if (size < layout->head_bytes)
        return TRUNCATED;
    header->kind = head[0] ^ (VERSION << 4 | (layout->compact ? KIND_COMPACT : 0));
    if (header->kind > 1)
        return WRONG_VERSION;
    uint64_t handle, generation;
    if (layout->compact) {
        header->flags = head[1] >> 4;
        generation = head[1] & 0x0f;
        handle = head[2];
        header->tick = get_big_endian(head + 3, 2);
        header->number = get_big_endian(head + 5, 2);
        header->index = head[7];
    } else {
        header->flags = head[1];
        generation = head[2];
        handle = get_big_endian(head + 3, 4);
        header->tick = get_big_endian(head + 7, 3);
        header->number = get_big_endian(head + 10, 4);
        header->index = (uint32_t)get_big_endian(head + 14, 2);
    }
    if (handle != layout->handle)
        return UNKNOWN_HANDLE;
    if (generation != layout->generation)
        return UNKNOWN_GENERATION;
    if (size < layout->overhead_bytes)
        return TRUNCATED;
    uint64_t full = (uint64_t)layout->segment_bytes, payload = size - layout->overhead_bytes;
    if (payload > full)
        return OVERSIZE;
    uint64_t end = header->index * full + payload, most = (uint64_t)layout->frame_bytes;
    if (header->flags > FLAGS_ALL || (header->flags & FIRST) != (header->index == 0) || end > most)
        return MALFORMED;
    /* The last may be short, but not empty behind others; the others are full, and not the last
     * for which frame_bytes has room. */
    if (header->flags & LAST ? header->index > 0 && payload == 0 : payload != full || end == most)
        return MALFORMED;
    return OPENED;
}

/* Checks 5 and 6. The header's tick and number are low bits so far; here they become whole. */
static int check_place(const Opener *self, Header *header) {
    const Ticks *ticks = &self->ticks;
    uint64_t mask = (UINT64_C(1) << self->layout.tick_bits) - 1;
    uint64_t ahead = (header->tick - ticks->lower) & mask, tick = ticks->lower + ahead;
    if (ahead >= ticks->count)
        return ahead < ticks->room ? ticks->above : LATE;
    if (tick < ticks->held_first || tick > ticks->held_last)
        return tick > self->timing.last_tick ? EXHAUSTED : LATE;
    if (self->forgeries_left == 0)
        return EXHAUSTED;
    header->tick = tick;

    mask = (UINT64_C(1) << self->layout.number_bits) - 1;
    uint64_t half = mask / 2 + 1, next = self->replay.next;
    uint64_t base = next > half ? next - half : 0;
    ahead = (header->number - base) & mask;
    if (ahead >= EVERY_FRAME_OF_INTERVAL - base)
        return STALE; /* there is no such number; it takes its own source 2^33 frames to get here */
    header->number = base + ahead;
    switch (replay_check(&self->replay, header->number, header->index)) {
    case REPLAY_SEEN:
        return REPLAYED;
    case REPLAY_STALE:
        return STALE;
    default:
        return OPENED;
    }
}

/* The HMAC state of a tick that is held, made now where the last was another. */
static const HmacState *prepare(Opener *self, uint64_t tick) {
    if (!self->has_prepared || self->prepared_tick != tick) {
        const uint8_t *secret = walker_secret(self->walker, epoch_of(self, tick));
        if (secret == NULL)
            return NULL; /* never: check_place() saw that it is held */
        hmac_start(&self->prepared, secret);
        take_in_tick(&self->prepared, tick);
        self->prepared_tick = tick;
        self->has_prepared = true;
    }
    return &self->prepared;
}

/* State moves, and only here, for a segment that has authenticated under a key. */
static int commit(Opener *self, const Header *header, const KnownKey *new_key) {
    if (!replay_commit(&self->replay, header->number, header->index))
        return NO_MEMORY;
    self->opened++;
    bool is_whole = (header->flags & (FIRST | LAST)) == (FIRST | LAST);
    if (new_key != NULL && !(is_whole && self->layout.every_frame)) {
        self->known[self->next_known++ % KEYS_KEPT] = *new_key;
        self->known_count = self->next_known < KEYS_KEPT ? self->next_known : KEYS_KEPT;
    }
    if (header->tick <= self->highest_tick)
        return OPENED; /* tick 0 is highest from the start: it leaves nothing behind */
    self->highest_tick = header->tick;
    const Timing *timing = &self->timing;
    if (self->is_live && timing->has_tree && header->tick > timing->span) {
        uint64_t behind = (header->tick - timing->span) >> timing->epoch_bits;
        if (behind > walker_start(self->walker))
            puncture(self, behind);
    }
    return OPENED;
}

/* Checks 7 and 8. */
static int check_key(Opener *self, Aead *aead, const Header *header, const uint8_t *segment,
                     size_t size, uint8_t *out) {
    const Layout *layout = &self->layout;
    KnownKey key = {header->tick, EVERY_FRAME_OF_INTERVAL, {{0}, {0}}, true};
    if (layout->every_frame)
        key.frame = header->number;
    bool is_known = false;
    for (unsigned i = 0; i < self->known_count && !is_known; i++) {
        const KnownKey *known = &self->known[i];
        is_known = known->used && known->tick == key.tick && known->frame == key.frame;
        if (is_known)
            key = *known;
    }
    if (!is_known) {
        const HmacState *state = prepare(self, key.tick);
        if (state == NULL)
            return EXHAUSTED;
        derive_frame_key(state, key.frame, &key.key);
        self->keys_derived++;
    }

    int outcome;
    const uint8_t *hash = segment + layout->head_bytes, *sealed = hash + layout->hash_bytes;
    uint8_t nonce[NONCE_BYTES], aad[AAD_MOST];
    int aad_bytes = bind_header(layout, header, segment, nonce, aad);
    if (libcrypto.CRYPTO_memcmp(hash, key.key.hash, (size_t)layout->hash_bytes) != 0) {
        outcome = WRONG_KEY_HASH;
    } else if (!aead_open(aead, key.key.key, nonce, aad, aad_bytes, sealed,
                          (int)(size - layout->overhead_bytes), out)) {
        outcome = FORGED;
        self->forgeries_left--;
    } else {
        outcome = commit(self, header, is_known ? NULL : &key);
    }
    CLEANSE(key);
    return outcome;
}

int check_segment(Opener *self, Aead *aead, const uint8_t *segment, size_t size, Header *header,
                  uint8_t *out) {
    int outcome = check_form(&self->layout, segment, size, header);
    if (outcome == OPENED)
        outcome = check_place(self, header);
    return outcome == OPENED ? check_key(self, aead, header, segment, size, out) : outcome;
}
