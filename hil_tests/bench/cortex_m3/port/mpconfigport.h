// What this MicroPython has: what the RPI_PICO firmware has, as far as our firmware uses it.
#include <stdint.h>
#include <alloca.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

#define MICROPY_HW_BOARD_NAME "Arm MPS2 AN385 (emulated)"
#define MICROPY_HW_MCU_NAME "Cortex-M3"
#define MICROPY_PY_SYS_PLATFORM "mps2"

#define MICROPY_ENABLE_GC (1)
#define MICROPY_ENABLE_EMERGENCY_EXCEPTION_BUF (1)
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)
#define MICROPY_PERSISTENT_CODE_LOAD (1)
#define MICROPY_KBD_EXCEPTION (1)

#define MICROPY_VFS (1)
#define MICROPY_READER_VFS (1)

#define MICROPY_PY_CRYPTOLIB (1)
#define MICROPY_SSL_MBEDTLS (1)
#define MICROPY_PY_HASHLIB_MD5 (0)
#define MICROPY_PY_HASHLIB_SHA1 (0)

#define MICROPY_PY_OS_INCLUDEFILE "os_urandom.c"
#define MICROPY_PY_OS_URANDOM (1)

#define MICROPY_PY_MACHINE (1)
#define MICROPY_PY_MACHINE_INCLUDEFILE "board.c"
#define MICROPY_PY_MACHINE_BARE_METAL_FUNCS (1)
#define MICROPY_PY_MACHINE_RESET (1)
#define MICROPY_PY_MACHINE_UART (1)
#define MICROPY_PY_MACHINE_UART_INCLUDEFILE "data_uart.c"
#define MICROPY_PY_MACHINE_PIN_BASE (0)
#define MICROPY_PY_MACHINE_PULSE (0)
#define MICROPY_PY_MACHINE_SIGNAL (0)
#define MICROPY_PY_MACHINE_EXTRA_GLOBALS \
    { MP_ROM_QSTR(MP_QSTR_UART), MP_ROM_PTR(&machine_uart_type) },

#define MICROPY_BEGIN_ATOMIC_SECTION() hal_disable_interrupts()
#define MICROPY_END_ATOMIC_SECTION(state) hal_restore_interrupts(state)
#define MICROPY_INTERNAL_WFE(timeout_ms) hal_wait_for_interrupt()

#define MP_STATE_PORT MP_STATE_VM
#define MP_NEED_LOG2 (1)
#define MP_SSIZE_MAX (0x7fffffff)
#define UINT_FMT "%lu"
#define INT_FMT "%ld"

typedef int32_t mp_int_t;
typedef uint32_t mp_uint_t;
typedef long mp_off_t;

uint32_t hal_disable_interrupts(void);
void hal_restore_interrupts(uint32_t state);
void hal_wait_for_interrupt(void);
