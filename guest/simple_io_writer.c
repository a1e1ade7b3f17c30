// Writes for ever: number N, as text, into sector N % (number of sectors), and prints it when that
// is done.

#include <simple_io.h>

static struct DiskStatus status;
static char sector[SECTOR_SIZE];

int main(void) {
  if (disk_setup(&status) != 0) halt_with(1, 0);
  uint32_t sectors = (uint32_t)(status.size / SECTOR_SIZE);
  for (uint32_t number = 1; sectors != 0; ++number) {
    memset(sector, 0, sizeof sector);
    snprintf(sector, sizeof sector, "%u\n", number);
    if (disk_write(&status, number % sectors, sector) != 0) break;
    printf("%s", sector);
  }
  halt_with((uint32_t)status.error, sectors);
}
