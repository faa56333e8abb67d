"""The specification as numbers (docs/protocol.md): to change one is to make a new version."""

# --- Specification: labels (sections 1 to 3) ---
PREFIX = b"tickseal/1 "
CONTEXT_LABEL = b"tickseal/1 context"
PROLOGUE = b"tickseal/1"
OFFLINE_PROLOGUE = b"tickseal/1 offline"
REFUSAL_LABEL = b"tickseal/1 refusal"

# --- Specification: sizes in bytes ---
SECRET_BYTES = 32
SALT_BYTES = 32
CONTEXT_BYTES = 32
FRAME_KEY_BYTES = 32
CONFIRM_BYTES = 16
NONCE_BYTES = 12
KEY_HASH_MIN = 8
KEY_HASH_MAX = 32
KEY_HASH_DEFAULT = 16
METADATA_MAX_BYTES = 1024
CONTROL_MAX_BYTES = 16384
INVITE_ID_BYTES = 8

# --- Specification: the epoch tree (section 3) ---
DEPTH_MAX = 48
DEPTH_DEFAULT = 32
EPOCH_BITS_MAX = 32
#: Stands for the frame number in a key that is renewed every interval.
EVERY_FRAME_OF_INTERVAL = 0xFFFFFFFFFFFFFFFF

# --- Specification: suites (section 2.2) ---
AES_256_GCM = 1
CHACHA20_POLY1305 = 2
AES_128_CCM_8 = 3
SUITE_KEY_BYTES = {AES_256_GCM: 32, CHACHA20_POLY1305: 32, AES_128_CCM_8: 16}
SUITE_TAG_BYTES = {AES_256_GCM: 16, CHACHA20_POLY1305: 16, AES_128_CCM_8: 8}
#: Failed openings after which a generation is given up (section 5.1; RFC 9147 section 4.5.3).
SUITE_FORGERY_LIMIT = {AES_256_GCM: 1 << 36, CHACHA20_POLY1305: 1 << 36, AES_128_CCM_8: 1 << 16}

# --- Specification: renewal of the frame key (section 2.2) ---
RENEW_EVERY_INTERVAL = 0
RENEW_EVERY_FRAME = 1

# --- Specification: segment header (section 5) ---
VERSION = 1
STANDARD = 0
COMPACT = 1
KIND_FRAME = 0
KIND_SUMMARY = 1
KIND_COMPACT = 8
FLAG_FIRST = 1
FLAG_LAST = 2
FLAG_BACKFILL = 4
FLAG_HOLDOVER = 8
FLAGS_ALL = 15
HEADER_BYTES = {STANDARD: 16, COMPACT: 8}
TICK_BITS = {STANDARD: 24, COMPACT: 16}
FRAME_BITS = {STANDARD: 32, COMPACT: 16}
GENERATION_BITS = {STANDARD: 8, COMPACT: 4}
HANDLE_BITS = {STANDARD: 32, COMPACT: 8}
SEGMENT_INDEX_BITS = {STANDARD: 16, COMPACT: 8}
#: Frames that the replay window holds (section 5.1).
REPLAY_WINDOW_FRAMES = 1024

# --- Specification: records on a stream link (section 6.1) ---
RECORD_CLASSICAL = 1
RECORD_HYBRID = 2
RECORD_ANSWER = 3
RECORD_REFUSAL = 4
RECORD_CONTROL = 5
RECORD_DATA = 6

# --- Specification: handshake (section 6.2) ---
NOISE_CLASSICAL = b"Noise_IKpsk2_25519_ChaChaPoly_SHA256"
NOISE_HYBRID = b"Noise_IKhfs+psk2_25519+MLKEM768_ChaChaPoly_SHA256"
NOISE_OFFLINE = b"Noise_Kpsk0_25519_ChaChaPoly_SHA256"
