// The hardware of the MPS2 board with the AN385 image, as far as QEMU has it and we use it.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/runtime/interrupt_char.h"

// UART 0 is the REPL, UART 1 a data cable of its own.
enum { HAL_REPL, HAL_DATA, HAL_UARTS };

void hal_init(void);

// Bytes that have come in on a UART and were not taken yet.
size_t hal_uart_available(int uart);

// Take up to size bytes; returns how many there were.
size_t hal_uart_read(int uart, uint8_t *data, size_t size);

// Send; returns how many bytes went out before the other end stopped reading for too long.
size_t hal_uart_write(int uart, const uint8_t *data, size_t size);

bool hal_uart_can_write(int uart);

// Fill with random bytes of the machine that emulates us; false where it gives none.
bool hal_random(void *data, size_t size);

__attribute__((noreturn)) void hal_reset(void);

