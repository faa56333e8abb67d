#include "keys.h"

#include <string.h>

enum { BLOCK_BYTES = 64, INNER_PAD = 0x36, OUTER_PAD = 0x5c };

/* u16 size || vec("tickseal/1 frame") || the length of u64 tick || u64 frame. */
static const uint8_t FRAME_INFO[] = "\x00\x20\x10tickseal/1 frame\x10";

void hmac_start(HmacState *state, const uint8_t secret[SECRET_BYTES]) {
    uint8_t block[BLOCK_BYTES] = {0};
    memcpy(block, secret, SECRET_BYTES);
    for (int i = 0; i < BLOCK_BYTES; i++)
        block[i] ^= INNER_PAD;
    libcrypto.SHA256_Init(&state->inner);
    libcrypto.SHA256_Update(&state->inner, block, BLOCK_BYTES);
    for (int i = 0; i < BLOCK_BYTES; i++)
        block[i] ^= INNER_PAD ^ OUTER_PAD;
    libcrypto.SHA256_Init(&state->outer);
    libcrypto.SHA256_Update(&state->outer, block, BLOCK_BYTES);
    CLEANSE(block);
}

void hmac_finish(const HmacState *state, const uint8_t *rest, size_t size,
                 uint8_t out[HASH_BYTES]) {
    SHA256_CTX hash = state->inner;
    libcrypto.SHA256_Update(&hash, rest, size);
    libcrypto.SHA256_Final(out, &hash);
    hash = state->outer;
    libcrypto.SHA256_Update(&hash, out, HASH_BYTES);
    libcrypto.SHA256_Final(out, &hash);
    CLEANSE(hash);
}

void take_in_tick(HmacState *state, uint64_t tick) {
    uint8_t bytes[8];
    put_big_endian(bytes, tick, 8);
    libcrypto.SHA256_Update(&state->inner, FRAME_INFO, sizeof FRAME_INFO - 1);
    libcrypto.SHA256_Update(&state->inner, bytes, sizeof bytes);
}

void derive_frame_key(const HmacState *tick, uint64_t frame, FrameKey *out) {
    uint8_t rest[9];
    put_big_endian(rest, frame, 8);
    rest[8] = 0x01; /* HKDF-Expand's counter: 32 bytes are one block of it */
    hmac_finish(tick, rest, sizeof rest, out->key);
    /* What stays in this state is the key hash; Final has cleansed the block that held the key. */
    SHA256_CTX hash;
    libcrypto.SHA256_Init(&hash);
    libcrypto.SHA256_Update(&hash, out->key, sizeof out->key);
    libcrypto.SHA256_Final(out->hash, &hash);
}
