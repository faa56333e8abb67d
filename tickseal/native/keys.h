/* The hot end of the key schedule (docs/protocol.md section 3): epoch secret to frame key. */
#pragma once

#include "libcrypto.h"

enum { SECRET_BYTES = 32, CONTEXT_BYTES = 32, HASH_BYTES = 32 };

/* Stands for the frame number in a key that is renewed every interval. */
#define EVERY_FRAME_OF_INTERVAL UINT64_MAX

/* HMAC-SHA-256 (RFC 2104) that has taken in its key, and perhaps the head of a message. */
typedef struct {
    SHA256_CTX inner, outer;
} HmacState;

typedef struct {
    uint8_t key[SECRET_BYTES]; /* the AEAD takes as many first bytes as its suite wants */
    uint8_t hash[HASH_BYTES];  /* SHA-256 of the key, whole */
} FrameKey;

/* Cleanse a variable. */
#define CLEANSE(variable) libcrypto.OPENSSL_cleanse(&(variable), sizeof(variable))

static inline void put_big_endian(uint8_t *out, uint64_t value, unsigned bytes) {
    while (bytes--) {
        out[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

static inline uint64_t get_big_endian(const uint8_t *in, unsigned bytes) {
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | *in++;
    return value;
}

void hmac_start(HmacState *state, const uint8_t secret[SECRET_BYTES]);
void hmac_finish(const HmacState *state, const uint8_t *rest, size_t size, uint8_t out[HASH_BYTES]);

/* Let the state under an epoch secret take in the frame key's info up to the frame number. */
void take_in_tick(HmacState *state, uint64_t tick);
void derive_frame_key(const HmacState *tick, uint64_t frame, FrameKey *out);
