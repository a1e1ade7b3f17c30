// Reads the first sector of the block device a hundred times: rings its doorbell, and halts until
// the interrupt. Ends with the number of reads that went wrong.

#include <block_device.h>
#include <interrupts.h>

enum { kReads = 100 };

static unsigned volatile interrupts;

static void on_interrupt(void) {
  block_write32(BLOCK_ACKNOWLEDGE, 0);
  ++interrupts;
}

int main(void) {
  static uint64_t sector[SECTOR_SIZE / 8];
  unsigned failures = 0;
  interrupts_setup();
  interrupt_handler(BLOCK_LINE, false, on_interrupt);
  block_write32(BLOCK_COMMAND, BLOCK_INITIALISE);
  block_write64(BLOCK_ADDRESS, (uintptr_t)sector);
  block_write32(BLOCK_COUNT, 1);
  for (unsigned read = 0; read < kReads; ++read) {
    *(uint64_t volatile*)sector = 0;
    block_write32(BLOCK_COMMAND, BLOCK_START);  // the doorbell: all else stays as it was
    while (interrupts == read) interrupt_wait();
    if (*(uint64_t volatile*)sector != 0x216F636974726F70ull) ++failures;
  }
  end_with((uint8_t)failures);
}
