/// Interrupts for a guest whose machine has a pair of 8259A interrupt controllers (KVM's in the
/// kernel, for one).
///
/// ```c
/// #include <interrupts.h>
///
/// static int volatile ticks;
/// static void tick(void) { ++ticks; }   // on interrupt line 0, interrupts off
///
/// int main(void) {
///   interrupts_setup();
///   interrupt_handler(0, false, tick);
///   while (ticks < 10) interrupt_wait();
///   return 0;
/// }
/// ```
///
/// Line N is vector 0x20 + N. Exceptions still have no handlers: a fault is a triple fault. On such
/// a machine `hlt` waits for the next interrupt and does not end the guest.

#ifndef PORTICO_GUEST_INTERRUPTS_H
#define PORTICO_GUEST_INTERRUPTS_H

#include <stdbool.h>

/// Makes descriptor tables, and programs the controllers with every line masked. Interrupts stay
/// off.
void interrupts_setup(void);

/// Calls `handler` for interrupts of a line (0 to 15, but not 2), which is level- or
/// edge-triggered, and unmasks it. A handler need not tell the controllers anything.
void interrupt_handler(unsigned line, bool level, void (*handler)(void));

/// Lets interrupts in. What is pending comes after the next instruction.
static inline void interrupts_on(void) { __asm__ volatile("sti" : : : "memory"); }

/// Keeps interrupts out.
static inline void interrupts_off(void) { __asm__ volatile("cli" : : : "memory"); }

/// With interrupts off: halts until one has been handled. None that is pending, or comes just now,
/// is missed, since `sti` lets none in before the `hlt`.
static inline void interrupt_wait(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }

#endif
