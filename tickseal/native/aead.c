#include "aead.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int key_bytes, tag_bytes;
} SUITES[SUITES_END] = {
    [AES_256_GCM] = {"AES-256-GCM", 32, 16},
    [CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32, 16},
    [AES_128_CCM_8] = {"AES-128-CCM", 16, 8},
};

static EVP_CIPHER *ciphers[SUITES_END];

/* One context each that nobody borrows at the moment. They are shared by all streams: a stream then
 * costs no context of its own, and ten thousand of them do not push each other out of the cache. */
static Aead *spares[SUITES_END][2];

const char *aead_load(void) {
    for (int suite = AES_256_GCM; suite < SUITES_END; suite++) {
        ciphers[suite] = libcrypto.EVP_CIPHER_fetch(NULL, SUITES[suite].name, NULL);
        if (ciphers[suite] == NULL) {
            libcrypto.ERR_clear_error();
            return "libcrypto.so.3 does not offer the ciphers of all suites";
        }
    }
    return NULL;
}

int aead_tag_bytes(int suite) { return SUITES[suite].tag_bytes; }

static void free_aead(Aead *aead) {
    if (aead == NULL)
        return;
    libcrypto.EVP_CIPHER_CTX_free(aead->context); /* cleanses */
    libcrypto.OPENSSL_cleanse(aead, sizeof *aead);
    free(aead);
}

static Aead *new_aead(int suite, bool sealing) {
    Aead *aead = calloc(1, sizeof *aead);
    if (aead == NULL)
        return NULL;
    aead->suite = suite;
    aead->sealing = sealing;
    aead->context = libcrypto.EVP_CIPHER_CTX_new();
    if (aead->context != NULL &&
        libcrypto.EVP_CipherInit_ex(aead->context, ciphers[suite], NULL, NULL, NULL, sealing) &&
        libcrypto.EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_SET_IVLEN, NONCE_BYTES, NULL) &&
        /* Only CCM has to know the tag's size before. */
        (suite != AES_128_CCM_8 ||
         libcrypto.EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_SET_TAG,
                                       SUITES[suite].tag_bytes, NULL)))
        return aead;
    libcrypto.ERR_clear_error();
    free_aead(aead);
    return NULL;
}

Aead *aead_borrow(int suite, bool sealing) {
    Aead *aead = spares[suite][sealing];
    spares[suite][sealing] = NULL;
    return aead != NULL ? aead : new_aead(suite, sealing);
}

void aead_return(Aead *aead) {
    Aead **spare = &spares[aead->suite][aead->sealing];
    if (*spare == NULL)
        *spare = aead;
    else
        free_aead(aead);
}

void aead_forget_keys(void) {
    for (int suite = AES_256_GCM; suite < SUITES_END; suite++)
        for (int sealing = 0; sealing < 2; sealing++) {
            free_aead(spares[suite][sealing]);
            spares[suite][sealing] = NULL;
        }
}

/* Everything up to the payload. */
static bool begin(Aead *aead, const uint8_t *key, const uint8_t *nonce, const uint8_t *aad,
                  int aad_bytes, int size) {
    /* To set the nonce alone takes a third of the time. */
    size_t key_bytes = (size_t)SUITES[aead->suite].key_bytes;
    bool is_same = aead->has_key && libcrypto.CRYPTO_memcmp(aead->key, key, key_bytes) == 0;
    aead->has_key =
        libcrypto.EVP_CipherInit_ex(aead->context, NULL, NULL, is_same ? NULL : key, nonce, -1);
    if (!aead->has_key)
        return false;
    memcpy(aead->key, key, key_bytes);
    int written;
    /* CCM takes the size in before anything else, and the additional data whole. */
    if (aead->suite == AES_128_CCM_8 &&
        !libcrypto.EVP_CipherUpdate(aead->context, NULL, &written, NULL, size))
        return false;
    return libcrypto.EVP_CipherUpdate(aead->context, NULL, &written, aad, aad_bytes);
}

bool aead_seal(Aead *aead, const uint8_t *key, const uint8_t nonce[NONCE_BYTES], const uint8_t *aad,
               int aad_bytes, const uint8_t *payload, int size, uint8_t *out) {
    int written, last;
    bool sealed = begin(aead, key, nonce, aad, aad_bytes, size) &&
                  libcrypto.EVP_CipherUpdate(aead->context, out, &written, payload, size) &&
                  written == size &&
                  libcrypto.EVP_CipherFinal_ex(aead->context, out + size, &last) && last == 0 &&
                  libcrypto.EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_GET_TAG,
                                                SUITES[aead->suite].tag_bytes, out + size);
    if (!sealed)
        libcrypto.ERR_clear_error();
    return sealed;
}

bool aead_open(Aead *aead, const uint8_t *key, const uint8_t nonce[NONCE_BYTES], const uint8_t *aad,
               int aad_bytes, const uint8_t *sealed, int size, uint8_t *out) {
    uint8_t tag[TAG_MOST], none[TAG_MOST];
    int written, last;
    memcpy(tag, sealed + size, (size_t)SUITES[aead->suite].tag_bytes);
    bool opened = libcrypto.EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_SET_TAG,
                                                SUITES[aead->suite].tag_bytes, tag) &&
                  begin(aead, key, nonce, aad, aad_bytes, size) &&
                  libcrypto.EVP_CipherUpdate(aead->context, out, &written, sealed, size) &&
                  written == size;
    /* CCM verifies before it gives anything out, and has no Final. */
    if (opened && aead->suite != AES_128_CCM_8)
        opened = libcrypto.EVP_CipherFinal_ex(aead->context, none, &last) && last == 0;
    if (!opened) {
        libcrypto.ERR_clear_error();
        libcrypto.OPENSSL_cleanse(out, (size_t)size);
    }
    return opened;
}
