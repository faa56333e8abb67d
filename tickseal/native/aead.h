/* The AEAD of each suite over libcrypto's EVP, with contexts that are used again. */
#pragma once

#include <stdbool.h>

#include "libcrypto.h"

enum { AES_256_GCM = 1, CHACHA20_POLY1305 = 2, AES_128_CCM_8 = 3, SUITES_END = 4 };
enum { NONCE_BYTES = 12, TAG_MOST = 16, KEY_MOST = 32 };

/* A libcrypto context of one suite and one direction, and the key that it holds. */
typedef struct {
    EVP_CIPHER_CTX *context;
    int suite;
    bool sealing, has_key;
    uint8_t key[KEY_MOST];
} Aead;

/* Fetch the ciphers; returns NULL, or why that failed. After libcrypto_load(). */
const char *aead_load(void);
int aead_tag_bytes(int suite);

/* Lend a context, the caller's alone until it comes back; NULL where memory is out.
 * Both need the GIL; what lies between does not. */
Aead *aead_borrow(int suite, bool sealing);
void aead_return(Aead *aead);
/* Free the contexts that nobody borrows, with the keys that they hold. Needs the GIL. */
void aead_forget_keys(void);

/* Write size bytes of ciphertext and the tag to out. False where libcrypto failed. */
bool aead_seal(Aead *aead, const uint8_t *key, const uint8_t nonce[NONCE_BYTES], const uint8_t *aad,
               int aad_bytes, const uint8_t *payload, int size, uint8_t *out);
/* Write size bytes of payload to out; false, and nothing readable in out, where the tag that
 * follows the ciphertext does not verify. */
bool aead_open(Aead *aead, const uint8_t *key, const uint8_t nonce[NONCE_BYTES], const uint8_t *aad,
               int aad_bytes, const uint8_t *sealed, int size, uint8_t *out);
