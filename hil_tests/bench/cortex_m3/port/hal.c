// Time, UARTs, random bytes, waiting and reset.
//
// Sources: Arm DAI0385 (the AN385 image: memory map, FPGAIO), Arm DDI0479 (CMSDK: APB UART),
// Armv7-M Architecture Reference Manual B3.2 (SCB), B3.3 (SysTick), B3.4 (NVIC),
// Arm "Semihosting for AArch32 and AArch64".

#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define CLOCK_HZ (25000000)

// --- Time: a counter that we let run at 1 MHz ---

#define FPGAIO_COUNTER REGISTER(0x40028018)
#define FPGAIO_PRESCALE REGISTER(0x4002801c)

#define SYSTICK_CONTROL REGISTER(0xe000e010)
#define SYSTICK_RELOAD REGISTER(0xe000e014)
#define SYSTICK_ENABLE_WITH_INTERRUPT_FROM_CPU_CLOCK (7)

static uint32_t counter_before;
static uint32_t counter_wraps;

static uint64_t microseconds(void) {
    uint32_t state = hal_disable_interrupts();
    uint32_t counter = FPGAIO_COUNTER;
    if (counter < counter_before) {
        ++counter_wraps;
    }
    counter_before = counter;
    uint64_t now = (uint64_t)counter_wraps << 32 | counter;
    hal_restore_interrupts(state);
    return now;
}

mp_uint_t mp_hal_ticks_us(void) {
    return microseconds();
}

mp_uint_t mp_hal_ticks_ms(void) {
    return microseconds() / 1000;
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return microseconds();
}

uint64_t mp_hal_time_ns(void) {
    return microseconds() * 1000;
}

void mp_hal_delay_us(mp_uint_t duration) {
    uint64_t end = microseconds() + duration;
    while (microseconds() < end) {
    }
}

void mp_hal_delay_ms(mp_uint_t duration) {
    uint64_t end = microseconds() + (uint64_t)duration * 1000;
    do {
        mp_event_wait_ms(1);
    } while (microseconds() < end);
}

// Ends a wait for an interrupt at the latest after a millisecond, and sees that the counter wraps.
void SysTick_Handler(void) {
    microseconds();
}

// --- Interrupts ---

#define NVIC_ENABLE REGISTER(0xe000e100)

uint32_t hal_disable_interrupts(void) {
    uint32_t state;
    __asm volatile ("mrs %0, primask\n cpsid i" : "=r" (state) : : "memory");
    return state;
}

void hal_restore_interrupts(uint32_t state) {
    __asm volatile ("msr primask, %0" : : "r" (state) : "memory");
}

void hal_wait_for_interrupt(void) {
    __asm volatile ("wfi" : : : "memory");
}

// --- UARTs ---

typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupt;
    volatile uint32_t divider;
} uart_registers_t;

enum { STATE_TX_FULL = 1, STATE_RX_FULL = 2 };
enum { CONTROL_TX = 1, CONTROL_RX = 2, CONTROL_RX_INTERRUPT = 8 };
enum { INTERRUPT_RX = 2 };

// A wire does not wait for its reader, but an emulator's reader may be slow: give up after this.
#define WRITE_TIMEOUT_US (2000000)

static uart_registers_t *const uart_registers[HAL_UARTS] = {
    (uart_registers_t *)0x40004000,
    (uart_registers_t *)0x40005000,
};
// Interrupt numbers of "received".
static const int uart_interrupts[HAL_UARTS] = { 0, 2 };

static uint8_t uart_storage[HAL_UARTS][1024];
static ringbuf_t uart_received[HAL_UARTS] = {
    { uart_storage[HAL_REPL], sizeof(uart_storage[HAL_REPL]), 0, 0 },
    { uart_storage[HAL_DATA], sizeof(uart_storage[HAL_DATA]), 0, 0 },
};

// A full buffer leaves its bytes with the emulator, which holds them back: nothing is lost there.
static void uart_receive(int uart) {
    uart_registers_t *registers = uart_registers[uart];
    registers->interrupt = INTERRUPT_RX;
    while ((registers->state & STATE_RX_FULL) && ringbuf_free(&uart_received[uart])) {
        uint8_t byte = registers->data;
        if (uart == HAL_REPL && byte == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&uart_received[uart], byte);
        }
    }
}

void Uart0_Handler(void) {
    uart_receive(HAL_REPL);
}

void Uart1_Handler(void) {
    uart_receive(HAL_DATA);
}

size_t hal_uart_available(int uart) {
    return ringbuf_avail(&uart_received[uart]);
}

size_t hal_uart_read(int uart, uint8_t *data, size_t size) {
    size_t taken = 0;
    while (taken < size) {
        int byte = ringbuf_get(&uart_received[uart]);
        if (byte < 0) {
            break;
        }
        data[taken++] = byte;
    }
    // There is room again for what a full buffer left behind.
    uint32_t state = hal_disable_interrupts();
    uart_receive(uart);
    hal_restore_interrupts(state);
    return taken;
}

bool hal_uart_can_write(int uart) {
    return !(uart_registers[uart]->state & STATE_TX_FULL);
}

size_t hal_uart_write(int uart, const uint8_t *data, size_t size) {
    static bool abandoned[HAL_UARTS];
    for (size_t sent = 0; sent < size; ++sent) {
        uint64_t end = microseconds() + WRITE_TIMEOUT_US;
        while (!hal_uart_can_write(uart)) {
            if (abandoned[uart] || microseconds() > end) {
                abandoned[uart] = true;
                return sent;
            }
        }
        abandoned[uart] = false;
        uart_registers[uart]->data = data[sent];
    }
    return size;
}

// --- Standard input and output ---

int mp_hal_stdin_rx_chr(void) {
    uint8_t byte;
    while (!hal_uart_read(HAL_REPL, &byte, 1)) {
        mp_event_wait_ms(1);
    }
    return byte;
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags) {
    uintptr_t ready = flags & MP_STREAM_POLL_WR;
    if ((flags & MP_STREAM_POLL_RD) && hal_uart_available(HAL_REPL)) {
        ready |= MP_STREAM_POLL_RD;
    }
    return ready;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t size) {
    return hal_uart_write(HAL_REPL, (const uint8_t *)text, size);
}

// --- Random bytes: a file of the machine that emulates us ---

enum { SEMIHOSTING_OPEN = 1, SEMIHOSTING_CLOSE = 2, SEMIHOSTING_READ = 6 };
enum { SEMIHOSTING_MODE_RB = 1 };

static int semihosting(int operation, const void *arguments) {
    register int r0 __asm ("r0") = operation;
    register const void *r1 __asm ("r1") = arguments;
    __asm volatile ("bkpt 0xab" : "+r" (r0) : "r" (r1) : "memory");
    return r0;
}

bool hal_random(void *data, size_t size) {
    static const char path[] = "/dev/urandom";
    const uint32_t open[] = { (uint32_t)path, SEMIHOSTING_MODE_RB, sizeof(path) - 1 };
    int file = semihosting(SEMIHOSTING_OPEN, open);
    if (file < 0) {
        return false;
    }
    const uint32_t read[] = { file, (uint32_t)data, size };
    bool complete = semihosting(SEMIHOSTING_READ, read) == 0;
    const uint32_t close[] = { file };
    semihosting(SEMIHOSTING_CLOSE, close);
    return complete;
}

// --- Start and reset ---

#define SCB_AIRCR REGISTER(0xe000ed0c)
#define AIRCR_SYSTEM_RESET (0x05fa0004)

void hal_init(void) {
    FPGAIO_PRESCALE = CLOCK_HZ / 1000000 - 1;
    FPGAIO_COUNTER = 0;
    SYSTICK_RELOAD = CLOCK_HZ / 1000 - 1;
    SYSTICK_CONTROL = SYSTICK_ENABLE_WITH_INTERRUPT_FROM_CPU_CLOCK;
    for (int uart = 0; uart < HAL_UARTS; ++uart) {
        uart_registers[uart]->divider = 16;
        uart_registers[uart]->control = CONTROL_TX | CONTROL_RX | CONTROL_RX_INTERRUPT;
        NVIC_ENABLE = 1 << uart_interrupts[uart];
    }
}

void hal_reset(void) {
    SCB_AIRCR = AIRCR_SYSTEM_RESET;
    for (;;) {
    }
}
